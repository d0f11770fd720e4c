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
  if (bytes_ == 0) return VRAM_OK;
  VRAM_TRY(from_driver(driver_.cuMemRelease(handle_)));
  bytes_ = 0;
  return VRAM_OK;
}

}  // namespace vram
