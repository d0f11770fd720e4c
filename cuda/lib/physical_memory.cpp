#include "physical_memory.h"

namespace vram {

CUmemAllocationProp PhysicalMemory::properties(int device, bool exportable) {
  CUmemAllocationProp prop = {};
  prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  prop.requestedHandleTypes = exportable ? CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR : CU_MEM_HANDLE_TYPE_NONE;
  prop.location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
  return prop;
}

void PhysicalMemory::begin(const MemoryRequest &request) {
  part_bytes_ = request.part_bytes;
  bytes_ = request.bytes;
  parts_.reserve(bytes_ / part_bytes_ + 1);  // so that a part that the driver returned is never lost
}

vram_status PhysicalMemory::create(const MemoryRequest &request) {
  const CUmemAllocationProp prop = properties(request.device, request.exportable);
  begin(request);
  for (uint64_t offset = 0; offset < bytes_; offset += part_bytes_) {
    CUmemGenericAllocationHandle part = 0;
    const uint64_t length = part_length(bytes_, part_bytes_, offset);
    VRAM_TRY(from_driver(driver_.cuMemCreate(&part, length, &prop, 0), VRAM_OUT_OF_MEMORY));
    parts_.push_back(part);
  }
  return VRAM_OK;
}

vram_status PhysicalMemory::import(const MemoryRequest &request, const std::vector<int> &descriptors) {
  begin(request);
  for (const int descriptor : descriptors) {
    CUmemGenericAllocationHandle part = 0;
    void *const os_handle = reinterpret_cast<void *>(static_cast<intptr_t>(descriptor));
    VRAM_TRY(from_driver(
        driver_.cuMemImportFromShareableHandle(&part, os_handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR)));
    parts_.push_back(part);
    CUmemAllocationProp prop = {};
    VRAM_TRY(from_driver(driver_.cuMemGetAllocationPropertiesFromHandle(&prop, part)));
    const bool here = prop.location.type == CU_MEM_LOCATION_TYPE_DEVICE && prop.location.id == request.device;
    if (!here) return VRAM_POLICY_VIOLATION;
  }
  return VRAM_OK;
}

vram_status PhysicalMemory::export_parts(Descriptors &out_descriptors) const {
  out_descriptors.reserve(parts_.size());
  for (const CUmemGenericAllocationHandle part : parts_) {
    int descriptor = -1;
    VRAM_TRY(from_driver(
        driver_.cuMemExportToShareableHandle(&descriptor, part, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0)));
    out_descriptors.add(descriptor);
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
