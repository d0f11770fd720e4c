/** Copies from pinned host memory to a device, on a stream of their own, beside whatever else the device does. */
#pragma once

#include "staged_stream.h"

namespace vram {

class CopyStream {
 public:
  explicit CopyStream(const DriverTable &driver) : driver_(driver) {}
  ~CopyStream() { (void)release(); }
  CopyStream(const CopyStream &) = delete;
  CopyStream &operator=(const CopyStream &) = delete;

  /** Needs the device's context, as all of these do. */
  vram_status create();
  /** Waits for what is under way first. On failure it remembers how far it came, and another call goes on there. */
  vram_status release();

  /** Enqueues one copy; `source` is left alone until finish_copy has returned VRAM_OK. */
  vram_status begin_copy(CUdeviceptr destination, const uint8_t *source, uint64_t bytes);
  /** Whether no copy is known to be under way. */
  bool is_idle() const { return idle_; }

  /** Waits for the copies begun so far. */
  vram_status finish_copy();

 private:
  const DriverTable &driver_;
  CUstream stream_ = nullptr;
  CUevent copied_ = nullptr;
  bool idle_ = true;
};

}  // namespace vram
