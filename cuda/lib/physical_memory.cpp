#include "physical_memory.h"

namespace vram {

cu::AllocationProp PhysicalMemory::properties(int device) {
  cu::AllocationProp prop = {};
  prop.type = cu::kAllocationPinned;
  prop.location = {cu::kLocationDevice, device};
  return prop;
}

vram_status PhysicalMemory::create(int device, uint64_t bytes) {
  const cu::AllocationProp prop = properties(device);
  VRAM_TRY(from_driver(driver_.cuMemCreate(&handle_, bytes, &prop, 0), VRAM_OUT_OF_MEMORY));
  bytes_ = bytes;
  return VRAM_OK;
}

vram_status PhysicalMemory::release() {
  for (; !owed_references_.empty(); owed_references_.pop_back()) {
    VRAM_TRY(from_driver(driver_.cuMemRelease(owed_references_.back())));
  }
  if (bytes_ == 0) return VRAM_OK;
  VRAM_TRY(from_driver(driver_.cuMemRelease(handle_)));
  bytes_ = 0;
  return VRAM_OK;
}

vram_status PhysicalMemory::release_reference(cu::AllocationHandle reference) {
  const vram_status status = from_driver(driver_.cuMemRelease(reference));
  if (status == VRAM_OK) return VRAM_OK;
  const std::lock_guard<std::mutex> lock(mutex_);
  owed_references_.push_back(reference);
  return status;
}

}  // namespace vram
