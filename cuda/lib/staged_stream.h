/**
 * A stream with a pinned buffer of its own: the way by which calls put work on a device and wait for it.
 *
 * Copies go through the buffer, never straight to a caller's memory. When the driver fails to say that a copy is done,
 * the call returns while the copy may still be under way; it then touches memory that lives as long as the device.
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

  /** Needs the device's context, as all of these do. */
  vram_status create(uint64_t buffer_bytes);
  /** On failure it remembers how far it came, and another call goes on there. */
  vram_status release();

  /** One caller at a time: whoever uses the stream holds this. */
  std::mutex &mutex() { return mutex_; }

  /** Each returns when the device is done with it, whether it went well or not. */
  vram_status copy_in(CUdeviceptr destination, const uint8_t *source, uint64_t bytes);
  vram_status copy_out(uint8_t *destination, CUdeviceptr source, uint64_t bytes);
  vram_status fill_with_zeros(CUdeviceptr destination, uint64_t bytes);

  /** Runs work(stream), which enqueues what it likes and returns a status, then waits for all of it. */
  template <typename Work>
  vram_status run(Work work) {
    VRAM_TRY(settle());
    unsettled_ = true;
    const vram_status enqueued = work(stream_);
    return first_failure(enqueued, settle());
  }

  /** Waits for what an earlier call could not wait for to the end. */
  vram_status settle();

 private:
  const DriverTable &driver_;
  std::mutex mutex_;
  CUstream stream_ = nullptr;
  PinnedBuffer buffer_;
  bool unsettled_ = false;  // work may be under way that nobody has waited for to the end
};

/** Waits for a stream. A failure is reported, after a second try: what is not waited for must not be freed. */
vram_status wait_for(const DriverTable &driver, CUstream stream, bool *out_idle);

}  // namespace vram
