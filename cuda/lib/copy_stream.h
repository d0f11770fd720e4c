/** Asynchronous copies from pinned host memory to a device, on a stream of their own. */
#pragma once

#include "staged_stream.h"

namespace vram {

class CopyStream {
 public:
  explicit CopyStream(const DriverTable &driver) : driver_(driver) {}
  ~CopyStream() { (void)release(); }
  CopyStream(const CopyStream &) = delete;
  CopyStream &operator=(const CopyStream &) = delete;

  /** Every function needs the device's context to be current. */
  vram_status create();
  /** Waits for running copies first. On failure another call continues where this one stopped. */
  vram_status release();

  /** Enqueues a copy. `source` must not change until finish_copy() has returned VRAM_OK. */
  vram_status begin_copy(CUdeviceptr destination, const uint8_t *source, uint64_t bytes);
  /** Whether every copy is known to be finished. */
  bool is_idle() const { return idle_; }
  /** Whether it was created completely, and is idle. */
  bool is_reusable() const { return idle_ && copied_ != nullptr && stream_ != nullptr; }

  /** Waits for the copies that were enqueued so far. */
  vram_status finish_copy();

 private:
  const DriverTable &driver_;
  CUstream stream_ = nullptr;
  CUevent copied_ = nullptr;
  bool idle_ = true;
};

}  // namespace vram
