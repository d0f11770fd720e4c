#include "pinned_buffer.h"

namespace vram {

vram_status PinnedBuffer::create(uint64_t bytes) {
  void *address = nullptr;
  const CUresult result = driver_.cuMemHostAlloc(&address, bytes, CU_MEMHOSTALLOC_PORTABLE);
  VRAM_TRY(from_driver(result, VRAM_HOST_OUT_OF_MEMORY));
  data_ = static_cast<uint8_t *>(address);
  bytes_ = bytes;
  return VRAM_OK;
}

vram_status PinnedBuffer::release() {
  if (data_ == nullptr) return VRAM_OK;
  VRAM_TRY(from_driver(driver_.cuMemFreeHost(data_)));
  data_ = nullptr;
  bytes_ = 0;
  return VRAM_OK;
}

}  // namespace vram
