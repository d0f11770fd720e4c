/** Page-locked host memory, which a device can copy to and from asynchronously. */
#pragma once

#include "driver_table.h"

namespace vram {

class PinnedBuffer {
 public:
  explicit PinnedBuffer(const DriverTable &driver) : driver_(driver) {}
  ~PinnedBuffer() { (void)release(); }
  PinnedBuffer(const PinnedBuffer &) = delete;
  PinnedBuffer &operator=(const PinnedBuffer &) = delete;

  /** Usable by every device. Needs a current context. VRAM_HOST_OUT_OF_MEMORY if the host has too little. */
  vram_status create(uint64_t bytes);

  /** On failure the memory is still owned; another call retries. */
  vram_status release();

  uint8_t *data() const { return data_; }
  uint64_t bytes() const { return bytes_; }

 private:
  const DriverTable &driver_;
  uint8_t *data_ = nullptr;
  uint64_t bytes_ = 0;
};

}  // namespace vram
