#include "source.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace vram {
namespace {

using Clock = std::chrono::steady_clock;

int milliseconds_until(Clock::time_point end) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
  return static_cast<int>(std::max<decltype(left)>(left, 0));
}

}  // namespace

vram_status SocketSource::read(uint8_t *slot, uint64_t bytes, uint64_t *out_read) {
  // The deadline is for the whole read, so that single bytes do not extend it.
  const Clock::time_point end = Clock::now() + std::chrono::milliseconds(wait_ms_);
  uint64_t done = 0;
  while (done < bytes) {
    const ssize_t got = recv(socket_, slot + done, bytes - done, MSG_DONTWAIT);
    if (got > 0) {
      done += static_cast<uint64_t>(got);
      has_bytes_ = true;
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    const bool empty = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    // Bytes that came before the end are returned first; the next call reports the end.
    if (!empty && !has_bytes_) return VRAM_SOCKET_CLOSED;
    if (!empty) break;
    pollfd readable = {socket_, POLLIN, 0};
    const int ready = poll(&readable, 1, milliseconds_until(end));
    if (ready == 0) break;
    if (ready < 0 && errno != EINTR) return VRAM_SOCKET_CLOSED;
  }
  *out_read = done;
  return VRAM_OK;
}

}  // namespace vram
