#include "physical_memory.h"

namespace vram {

CUmemAllocationProp PhysicalMemory::properties(int device) {
  CUmemAllocationProp prop = {};
  prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  prop.location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
  return prop;
}

vram_status PhysicalMemory::create(int device, uint64_t bytes, uint64_t part_bytes) {
  const CUmemAllocationProp prop = properties(device);
  part_bytes_ = part_bytes;
  bytes_ = bytes;
  parts_.reserve(bytes / part_bytes + 1);
  for (uint64_t offset = 0; offset < bytes; offset += part_bytes) {
    CUmemGenericAllocationHandle part = 0;
    const uint64_t length = part_length(bytes, part_bytes, offset);
    VRAM_TRY(from_driver(driver_.cuMemCreate(&part, length, &prop, 0), VRAM_OUT_OF_MEMORY));
    parts_.push_back(part);
  }
  return VRAM_OK;
}

vram_status PhysicalMemory::release() {
  for (; !unreleased_references_.empty(); unreleased_references_.pop_back()) {
    VRAM_TRY(from_driver(driver_.cuMemRelease(unreleased_references_.back())));
  }
  for (; !parts_.empty(); parts_.pop_back()) VRAM_TRY(from_driver(driver_.cuMemRelease(parts_.back())));
  return VRAM_OK;
}

vram_status PhysicalMemory::release_reference(CUmemGenericAllocationHandle reference) {
  const vram_status status = from_driver(driver_.cuMemRelease(reference));
  if (status == VRAM_OK) return VRAM_OK;
  const std::lock_guard<std::mutex> lock(mutex_);
  unreleased_references_.push_back(reference);
  return status;
}

}  // namespace vram
