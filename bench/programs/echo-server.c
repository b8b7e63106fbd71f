/* The echo server of echo-server.ts as native bodies, each with a connection. */
#include <zigcoro.h>

ZC_COROUTINE(echo) {
  uint32_t connection = (uint32_t)zc_arg(frame, 0);
  uint8_t bytes[16 * 1024];
  for (int32_t n; (n = zc_tcp_read(frame, connection, bytes, sizeof bytes)) > 0;)
    if (zc_tcp_write(frame, connection, bytes, n) < 0) break;
  return 0;
}

ZC_COROUTINE(sink) {
  uint32_t connection = (uint32_t)zc_arg(frame, 0);
  uint8_t bytes[64 * 1024];
  while (zc_tcp_read(frame, connection, bytes, sizeof bytes) > 0);
  return 0;
}

ZC_COROUTINE(source) {
  uint32_t connection = (uint32_t)zc_arg(frame, 0);
  uint8_t bytes[64 * 1024];
  for (uint32_t i = 0; i < sizeof bytes; i++) bytes[i] = 7;
  while (zc_tcp_write(frame, connection, bytes, sizeof bytes) > 0);
  return 0;
}
