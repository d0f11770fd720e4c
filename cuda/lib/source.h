/** A source of bytes that a load receives in its slots: a socket. */
#pragma once

#include <cstdint>

#include "../include/vram.h"

namespace vram {

class Source {
 public:
  Source() = default;
  virtual ~Source() = default;

  /** Writes the next bytes to `slot`, at most `bytes`. Fewer than `bytes` means that there are no more for now. */
  virtual vram_status read(uint8_t *slot, uint64_t bytes, uint64_t *out_read) = 0;
};

/** A connected socket. One read takes at most `wait_ms`. Fails with VRAM_SOCKET_CLOSED if it ends before any byte. */
class SocketSource : public Source {
 public:
  SocketSource(int socket, uint32_t wait_ms) : socket_(socket), wait_ms_(wait_ms) {}
  /** Other readers of the socket are woken by each byte again. */
  ~SocketSource() override;
  SocketSource(const SocketSource &) = delete;
  SocketSource &operator=(const SocketSource &) = delete;

  vram_status read(uint8_t *slot, uint64_t bytes, uint64_t *out_read) override;

 private:
  void wake_at(uint64_t bytes);

  const int socket_;
  const uint32_t wait_ms_;
  bool has_bytes_ = false;
  int low_water_bytes_ = 1;
};

}  // namespace vram
