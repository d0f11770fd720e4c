#include "mapping.h"

namespace vram {

vram_status Mapping::create(int device, const PhysicalMemory &memory, CUmemAccess_flags access) {
  device_ = device;
  VRAM_TRY(from_driver(driver_.cuMemAddressReserve(&address_, memory.bytes(), 0, 0, 0), VRAM_OUT_OF_MEMORY));
  bytes_ = memory.bytes();
  part_bytes_ = memory.part_bytes();
  for (const CUmemGenericAllocationHandle part : memory.parts()) {
    const uint64_t offset = mapped_parts_ * part_bytes_;
    const uint64_t length = part_length(bytes_, part_bytes_, offset);
    VRAM_TRY(from_driver(driver_.cuMemMap(address_ + offset, length, 0, part, 0)));
    ++mapped_parts_;
  }
  return set_access(access);
}

vram_status Mapping::set_access(uint64_t offset, uint64_t bytes, CUmemAccess_flags access) {
  const CUmemAccessDesc desc = {{CU_MEM_LOCATION_TYPE_DEVICE, device_}, access};
  return from_driver(driver_.cuMemSetAccess(address_ + offset, bytes, &desc, 1));
}

vram_status Mapping::release() {
  // cuMemUnmap() takes exactly the range of one cuMemMap().
  for (; mapped_parts_ != 0; --mapped_parts_) {
    const uint64_t offset = (mapped_parts_ - 1) * part_bytes_;
    VRAM_TRY(from_driver(driver_.cuMemUnmap(address_ + offset, part_length(bytes_, part_bytes_, offset))));
  }
  if (bytes_ != 0) VRAM_TRY(from_driver(driver_.cuMemAddressFree(address_, bytes_)));
  bytes_ = 0;
  return VRAM_OK;
}

vram_status create_mapped(const MemoryRequest &request, PhysicalMemory &memory, Mapping &mapping) {
  VRAM_TRY(memory.create(request));
  return mapping.create(request.device, memory, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
}

}  // namespace vram
