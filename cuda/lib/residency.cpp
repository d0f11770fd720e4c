#include "residency.h"

#include <initializer_list>

namespace vram {
namespace {

vram_status inspect_pointer(const DriverTable &driver, const ExpectedResidency &expected, CUdeviceptr address,
                            uint32_t &violations) {
  unsigned memory_type = 0;
  void *host_pointer = nullptr;
  unsigned is_managed = 0;
  int ordinal = -1;
  CUpointer_attribute attributes[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_HOST_POINTER,
                                      CU_POINTER_ATTRIBUTE_IS_MANAGED, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL};
  void *values[] = {&memory_type, &host_pointer, &is_managed, &ordinal};
  VRAM_TRY(from_driver(driver.cuPointerGetAttributes(4, attributes, values, address)));

  if (memory_type != CU_MEMORYTYPE_DEVICE) violations |= VRAM_VIOLATION_MEMORY_TYPE;
  if (host_pointer != nullptr) violations |= VRAM_VIOLATION_HOST_POINTER;
  if (is_managed != 0) violations |= VRAM_VIOLATION_MANAGED;
  if (ordinal != expected.device) violations |= VRAM_VIOLATION_ORDINAL;
  return VRAM_OK;
}

vram_status inspect_pages(const DriverTable &driver, const ExpectedResidency &expected, CUdeviceptr address,
                          PhysicalMemory &memory, uint32_t &violations) {
  CUmemGenericAllocationHandle reference = 0;
  VRAM_TRY(from_driver(driver.cuMemRetainAllocationHandle(&reference, reinterpret_cast<void *>(address))));
  CUmemAllocationProp prop = {};
  const vram_status queried = from_driver(driver.cuMemGetAllocationPropertiesFromHandle(&prop, reference));
  VRAM_TRY(first_failure(queried, memory.release_reference(reference)));

  if (prop.location.type != CU_MEM_LOCATION_TYPE_DEVICE) violations |= VRAM_VIOLATION_LOCATION;
  if (prop.location.id != expected.device) violations |= VRAM_VIOLATION_LOCATION_ID;
  return VRAM_OK;
}

vram_status inspect_access(const DriverTable &driver, const ExpectedResidency &expected, CUdeviceptr address,
                           uint32_t &violations) {
  for (int device = 0; device < expected.device_count; ++device) {
    const CUmemLocation location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
    unsigned long long access = 0;
    VRAM_TRY(from_driver(driver.cuMemGetAccess(&access, &location, address)));
    if (device == expected.device) {
      if (access != static_cast<unsigned>(expected.access)) violations |= VRAM_VIOLATION_ACCESS;
    } else if (access != CU_MEM_ACCESS_FLAGS_PROT_NONE) {
      violations |= VRAM_VIOLATION_FOREIGN_ACCESS;
    }
  }
  return VRAM_OK;
}

}  // namespace

vram_status inspect_residency(const DriverTable &driver, const ExpectedResidency &expected, PhysicalMemory &memory,
                              uint32_t *out_violations) {
  uint32_t violations = 0;
  for (const CUdeviceptr address : {expected.address, expected.address + expected.bytes - 1}) {
    VRAM_TRY(inspect_pointer(driver, expected, address, violations));
    VRAM_TRY(inspect_pages(driver, expected, address, memory, violations));
    VRAM_TRY(inspect_access(driver, expected, address, violations));
  }
  *out_violations = violations;
  return VRAM_OK;
}

}  // namespace vram
