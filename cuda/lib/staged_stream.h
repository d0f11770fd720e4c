/**
 * A CUDA stream with a pinned staging buffer: enqueues work on a device and waits for it.
 *
 * Copies go through the buffer, never directly to a caller's memory. If the driver cannot confirm that a copy is done,
 * the call returns while the copy may still run. It then touches only the buffer, which lives as long as the device.
 */
#pragma once

#include <mutex>

#include "pinned_buffer.h"

namespace vram {

class StagedStream {
 public:
  explicit StagedStream(const DriverTable &driver) : driver_(driver), buffer_(driver) {}
  ~StagedStream() { (void)release(); }
  StagedStream(const StagedStream &) = delete;
  StagedStream &operator=(const StagedStream &) = delete;

  /** Every function needs the device's context to be current. */
  vram_status create(uint64_t buffer_bytes);
  /** On failure another call continues where this one stopped. */
  vram_status release();

  /** The caller must hold this while it uses the stream. */
  std::mutex &mutex() { return mutex_; }

  /** Each returns when the device has finished, after a failure as well. */
  vram_status copy_in(CUdeviceptr destination, const uint8_t *source, uint64_t bytes);
  vram_status copy_out(uint8_t *destination, CUdeviceptr source, uint64_t bytes);
  vram_status fill_with_zeros(CUdeviceptr destination, uint64_t bytes);

  /** Calls work(stream), which enqueues operations and returns a status, then waits for all of them. */
  template <typename Work>
  vram_status run(Work work) {
    VRAM_TRY(start(work));
    return synchronize();
  }

  /** Does the same, and waits only for earlier operations and after a failure. synchronize() must follow. */
  template <typename Work>
  vram_status start(Work work) {
    VRAM_TRY(synchronize());
    pending_ = true;
    const vram_status enqueued = work(stream_);
    return enqueued == VRAM_OK ? VRAM_OK : first_failure(enqueued, synchronize());
  }

  /** The buffer. Valid to read after synchronize(). */
  uint8_t *buffer() const { return buffer_.data(); }

  /** Waits for operations whose end an earlier call could not confirm. */
  vram_status synchronize();

 private:
  const DriverTable &driver_;
  std::mutex mutex_;
  CUstream stream_ = nullptr;
  PinnedBuffer buffer_;
  bool pending_ = false;  // operations may still run
};

/**
 * Waits for a stream, and retries once, because memory in use must not be freed. Returns the first failure; *out_idle
 * says whether either try succeeded.
 */
vram_status wait_for(const DriverTable &driver, CUstream stream, bool *out_idle);

}  // namespace vram
