/** Where the bytes of a shard come from. */
#pragma once

#include <cstdint>

#include "../include/vram.h"

namespace vram {

class Source {
 public:
  virtual ~Source() = default;

  /** Writes the next bytes to `slot`, up to `bytes`. Fewer, or none, say that there are no more for now. */
  virtual vram_status read(uint8_t *slot, uint64_t bytes, uint64_t *out_read) = 0;
};

/** A run of an open file, which must have all of it. VRAM_FILE_TOO_SHORT, VRAM_FILE_ERROR. */
class FileSource : public Source {
 public:
  FileSource(int file, uint64_t offset) : file_(file), offset_(offset) {}
  vram_status read(uint8_t *slot, uint64_t bytes, uint64_t *out_read) override;

 private:
  const int file_;
  uint64_t offset_;
};

/** What a connected socket brings, as long as it does not stay empty for `wait_ms`. VRAM_SOCKET_CLOSED. */
class SocketSource : public Source {
 public:
  SocketSource(int socket, uint32_t wait_ms) : socket_(socket), wait_ms_(wait_ms) {}
  vram_status read(uint8_t *slot, uint64_t bytes, uint64_t *out_read) override;

 private:
  const int socket_;
  const uint32_t wait_ms_;
};

}  // namespace vram
