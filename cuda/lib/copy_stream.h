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

  /**
   * Enqueues a copy. `source` must not change until the copy is finished. At most kMaxRunning copies may be unfinished
   * before the call.
   */
  vram_status begin_copy(CUdeviceptr destination, const uint8_t *source, uint64_t bytes);
  /** Whether every copy is known to be finished. */
  bool is_idle() const { return idle_; }
  /** Whether it was created completely, and is idle. */
  bool is_reusable() const { return idle_ && copied_[kMaxRunning] != nullptr && stream_ != nullptr; }

  /** A copy may be late by the time in which the host digests as many pieces. */
  static constexpr uint64_t kMaxRunning = 3;
  /** Waits until at most the last `running` copies, up to kMaxRunning, are unfinished. */
  vram_status finish_copies(uint64_t running);

 private:
  const DriverTable &driver_;
  CUstream stream_ = nullptr;
  CUevent copied_[kMaxRunning + 1] = {};  // of copy i: the element i % (kMaxRunning + 1)
  uint64_t started_ = 0;
  uint64_t finished_ = 0;
  bool idle_ = true;
};

}  // namespace vram
