#include "mapping.h"

namespace vram {

vram_status Mapping::create(int device, const PhysicalMemory &memory) {
  device_ = device;
  VRAM_TRY(from_driver(driver_.cuMemAddressReserve(&address_, memory.bytes(), 0, 0, 0), VRAM_OUT_OF_MEMORY));
  bytes_ = memory.bytes();
  VRAM_TRY(from_driver(driver_.cuMemMap(address_, bytes_, 0, memory.handle(), 0)));
  mapped_ = true;
  return set_access(cu::kAccessReadWrite);
}

vram_status Mapping::set_access(cu::AccessFlags access) {
  const cu::AccessDesc desc = {{cu::kLocationDevice, device_}, access};
  return from_driver(driver_.cuMemSetAccess(address_, bytes_, &desc, 1));
}

vram_status Mapping::release() {
  if (mapped_) VRAM_TRY(from_driver(driver_.cuMemUnmap(address_, bytes_)));
  mapped_ = false;
  if (bytes_ != 0) VRAM_TRY(from_driver(driver_.cuMemAddressFree(address_, bytes_)));
  bytes_ = 0;
  return VRAM_OK;
}

vram_status create_mapped(int device, uint64_t bytes, PhysicalMemory &memory, Mapping &mapping) {
  VRAM_TRY(memory.create(device, bytes));
  return mapping.create(device, memory);
}

}  // namespace vram
