//! The numbers of IP's socket options that macOS and Winsock both have from BSD; those that are used, by the names that Linux has for them.

pub const IP = struct {
    pub const TTL = 4;
    pub const MULTICAST_IF = 9;
    pub const MULTICAST_TTL = 10;
    pub const MULTICAST_LOOP = 11;
    pub const ADD_MEMBERSHIP = 12;
    pub const DROP_MEMBERSHIP = 13;
};

pub const IPV6 = struct {
    pub const UNICAST_HOPS = 4;
    pub const MULTICAST_IF = 9;
    pub const MULTICAST_HOPS = 10;
    pub const MULTICAST_LOOP = 11;
    /// IPV6_JOIN_GROUP and IPV6_LEAVE_GROUP there.
    pub const ADD_MEMBERSHIP = 12;
    pub const DROP_MEMBERSHIP = 13;
    pub const V6ONLY = 27;
};
