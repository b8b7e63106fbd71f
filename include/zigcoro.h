/* zigcoro: coroutine bodies in C. Generated from zig/abi by `zig build describe -- c`; do not edit.
 *
 * A body is a function of type zc_body. TypeScript starts it with xasync(symbol, [numbers...]); it runs on a stack of its own
 * and may suspend anywhere in its calls. `frame` is valid inside the body only. Functions give 0 or more, or a negative
 * errno; -ECANCELED after a cancel, when the body should clean up and return.
 *
 *     ZC_COROUTINE(sum) {
 *       double total = 0, value;
 *       while (zc_suspend(frame, &value) >= 0) total += value;
 *       return total;
 *     }
 */
#ifndef ZIGCORO_H
#define ZIGCORO_H

#if defined(__TINYC__) && defined(_WIN32)
/* Bun's compiler brings no headers for Windows. */
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#else
#include <stdint.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct zc_frame zc_frame;
typedef double (*zc_body)(zc_frame *frame);
#define ZC_COROUTINE(name) double name(zc_frame *frame)
/* A datagram: bytes that are there and bytes it had (more, when it was cut), and where it comes from or goes to. family: 4 or 6. */
typedef struct {
  uint32_t length, whole;
  uint16_t family, port;
  uint32_t scope;
  uint8_t address[16];
} zc_datagram;
/* Argument number index (from 0) of xasync; 0 when there is none. */
double zc_arg(zc_frame *frame, uint32_t index);
/* Suspends until TypeScript resumes it; *value (unless null) is what the resume brought. */
int32_t zc_suspend(zc_frame *frame, double *value);
/* Bytes left of the stack that the body runs on. */
uint32_t zc_remaining_stack(zc_frame *frame);
/* Waits at least ms milliseconds. */
int32_t zc_sleep(zc_frame *frame, double ms);
/* Reads 1 to len bytes; 0 at the end of the stream. connection: an argument that was a stream. */
int32_t zc_tcp_read(zc_frame *frame, uint32_t connection, uint8_t *bytes, uint32_t len);
/* Writes all len (at most 2^31 - 1) bytes. */
int32_t zc_tcp_write(zc_frame *frame, uint32_t connection, const uint8_t *bytes, uint32_t len);
/* Reads len (at most 2^31 - 1) bytes at position, fewer where the file ends; of a pipe what there is. file: an argument that was a File. */
int32_t zc_file_pread(zc_frame *frame, uint32_t file, uint8_t *bytes, uint32_t len, double position);
/* Writes all len (at most 2^31 - 1) bytes at position, which a pipe ignores. */
int32_t zc_file_pwrite(zc_frame *frame, uint32_t file, const uint8_t *bytes, uint32_t len, double position);
/* Waits for a datagram and gives how many bytes of it fitted, 0 for an empty one. *from (unless null) is about it. */
int32_t zc_udp_read(zc_frame *frame, uint32_t socket, uint8_t *bytes, uint32_t len, zc_datagram *from);
/* Sends len bytes as one datagram to where *to says, as a read left it; null: where the socket is connected to. */
int32_t zc_udp_write(zc_frame *frame, uint32_t socket, const uint8_t *bytes, uint32_t len, const zc_datagram *to);
/* Waits until it is notified. notification: an argument that was an AsyncNotification of this thread. */
int32_t zc_notification_wait(zc_frame *frame, double notification);
/* From any thread, also outside of bodies and in signal handlers; never waits. 0, or -EBADF when it names nothing open (any more). */
int32_t zc_notify(double notification);

#ifdef __cplusplus
}
#endif
#endif
