/** A range of device addresses mapped to physical memory, and the device's access to it. */
#pragma once

#include "physical_memory.h"

namespace vram {

class Mapping {
 public:
  explicit Mapping(const DriverTable &driver) : driver_(driver) {}
  ~Mapping() { (void)release(); }
  Mapping(const Mapping &) = delete;
  Mapping &operator=(const Mapping &) = delete;

  /** Reserves addresses, maps all of `memory` there, and gives `device`, and no other, access. */
  vram_status create(int device, const PhysicalMemory &memory, CUmemAccess_flags access);

  /** `access` is CU_MEM_ACCESS_FLAGS_PROT_READ or CU_MEM_ACCESS_FLAGS_PROT_READWRITE. */
  vram_status set_access(CUmemAccess_flags access) { return set_access(0, bytes_, access); }
  /** The same for a range of whole parts. */
  vram_status set_access(uint64_t offset, uint64_t bytes, CUmemAccess_flags access);

  /** Unmaps and frees the addresses. On failure another call continues where this one stopped. */
  vram_status release();

  CUdeviceptr address() const { return address_; }
  uint64_t bytes() const { return bytes_; }

 private:
  const DriverTable &driver_;
  int device_ = 0;
  CUdeviceptr address_ = 0;
  uint64_t bytes_ = 0;  // 0 if no address is reserved
  uint64_t part_bytes_ = 0;
  uint64_t mapped_parts_ = 0;
};

/** Creates the memory and its mapping, writable. On failure their release() or destructors undo the completed steps. */
vram_status create_mapped(const MemoryRequest &request, PhysicalMemory &memory, Mapping &mapping);

}  // namespace vram
