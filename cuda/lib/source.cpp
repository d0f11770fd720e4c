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

/** A sender on the same host would wake the thread for each of its buffers, 10,000 times a GiB. */
constexpr uint64_t kLowWaterBytes = VRAM_STAGING_SLOT_BYTES / 2;

int milliseconds_until(Clock::time_point end) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
  return static_cast<int>(std::max<decltype(left)>(left, 0));
}

}  // namespace

SocketSource::~SocketSource() {
  wake_at(1);
}

/** poll() then waits for `bytes` bytes, or for the end of the connection. A kernel that refuses wakes it earlier. */
void SocketSource::wake_at(uint64_t bytes) {
  const int low_water_bytes = static_cast<int>(bytes);
  if (low_water_bytes == low_water_bytes_) return;
  (void)setsockopt(socket_, SOL_SOCKET, SO_RCVLOWAT, &low_water_bytes, sizeof(low_water_bytes));
  low_water_bytes_ = low_water_bytes;
}

vram_status SocketSource::read(uint8_t *slot, uint64_t bytes, uint64_t *out_read) {
  // The deadline is for the whole read, so that single bytes do not extend it.
  const Clock::time_point end = Clock::now() + std::chrono::milliseconds(wait_ms_);
  uint64_t done = 0;
  bool is_late = false;
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
    if (!empty || is_late) break;
    wake_at(std::min(bytes - done, kLowWaterBytes));
    pollfd readable = {socket_, POLLIN, 0};
    const int ready = poll(&readable, 1, milliseconds_until(end));
    is_late = ready == 0;  // fewer bytes may be there
    if (ready < 0 && errno != EINTR) return VRAM_SOCKET_CLOSED;
  }
  *out_read = done;
  return VRAM_OK;
}

}  // namespace vram
