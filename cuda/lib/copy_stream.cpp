#include "copy_stream.h"

namespace vram {

vram_status CopyStream::create() {
  VRAM_TRY(from_driver(driver_.cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING)));
  return from_driver(driver_.cuEventCreate(&copied_, CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING));
}

vram_status CopyStream::release() {
  if (!idle_) VRAM_TRY(wait_for(driver_, stream_, &idle_));
  if (copied_ != nullptr) VRAM_TRY(from_driver(driver_.cuEventDestroy_v2(copied_)));
  copied_ = nullptr;
  if (stream_ != nullptr) VRAM_TRY(from_driver(driver_.cuStreamDestroy_v2(stream_)));
  stream_ = nullptr;
  return VRAM_OK;
}

vram_status CopyStream::begin_copy(CUdeviceptr destination, const uint8_t *source, uint64_t bytes) {
  idle_ = false;
  VRAM_TRY(from_driver(driver_.cuMemcpyHtoDAsync_v2(destination, source, bytes, stream_)));
  return from_driver(driver_.cuEventRecord(copied_, stream_));
}

vram_status CopyStream::finish_copy() {
  const vram_status status = from_driver(driver_.cuEventSynchronize(copied_));
  idle_ = status == VRAM_OK;
  // If the event fails, wait for the stream: the caller is about to reuse the source.
  if (!idle_) (void)wait_for(driver_, stream_, &idle_);
  return status;
}

}  // namespace vram
