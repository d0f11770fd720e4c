#include "copy_stream.h"

#include <iterator>

namespace vram {

vram_status CopyStream::create() {
  VRAM_TRY(from_driver(driver_.cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING)));
  for (CUevent &copied : copied_) {
    VRAM_TRY(from_driver(driver_.cuEventCreate(&copied, CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING)));
  }
  return VRAM_OK;
}

vram_status CopyStream::release() {
  if (!idle_) VRAM_TRY(wait_for(driver_, stream_, &idle_));
  for (CUevent &copied : copied_) {
    if (copied != nullptr) VRAM_TRY(from_driver(driver_.cuEventDestroy_v2(copied)));
    copied = nullptr;
  }
  if (stream_ != nullptr) VRAM_TRY(from_driver(driver_.cuStreamDestroy_v2(stream_)));
  stream_ = nullptr;
  return VRAM_OK;
}

vram_status CopyStream::begin_copy(CUdeviceptr destination, const uint8_t *source, uint64_t bytes) {
  idle_ = false;
  vram_status status = from_driver(driver_.cuMemcpyHtoDAsync_v2(destination, source, bytes, stream_));
  if (status == VRAM_OK) status = from_driver(driver_.cuEventRecord(copied_[started_ % std::size(copied_)], stream_));
  // Without its event, only the stream tells when the copy is finished.
  if (status != VRAM_OK) (void)wait_for(driver_, stream_, &idle_);
  if (status == VRAM_OK) ++started_;
  return status;
}

vram_status CopyStream::finish_copies(uint64_t running) {
  if (started_ - finished_ <= running) return VRAM_OK;
  const CUevent last = copied_[(started_ - running - 1) % std::size(copied_)];
  const vram_status status = from_driver(driver_.cuEventSynchronize(last));
  // If the event fails, wait for the stream: the caller is about to reuse the source.
  if (status != VRAM_OK) (void)wait_for(driver_, stream_, &idle_);
  finished_ = started_ - (status == VRAM_OK ? running : 0);
  if (status == VRAM_OK) idle_ = running == 0;
  return status;
}

}  // namespace vram
