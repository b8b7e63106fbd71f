/* The server of udp-server.ts as a native body: echoes (0), counts (1), tells the count (2). */
#include <zigcoro.h>

static int32_t decimal(uint8_t *out, uint32_t value) {
  uint8_t digits[10];
  int32_t length = 0;
  do digits[length++] = '0' + value % 10;
  while (value /= 10);
  for (int32_t i = 0; i < length; i++) out[i] = digits[length - 1 - i];
  return length;
}

ZC_COROUTINE(serve) {
  uint32_t socket = (uint32_t)zc_arg(frame, 0);
  uint8_t bytes[2048];
  zc_datagram peer;
  uint32_t count = 0;
  for (;;) {
    int32_t length = zc_udp_read(frame, socket, bytes, sizeof bytes, &peer);
    if (length < 0) return length;
    if (length > 0 && bytes[0] == 1) {
      count++;
      continue;
    }
    if (length > 0 && bytes[0] == 2) {
      length = decimal(bytes, count);
      count = 0;
    }
    if ((length = zc_udp_write(frame, socket, bytes, length, &peer)) < 0) return length;
  }
}
