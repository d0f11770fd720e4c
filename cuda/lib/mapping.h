/** A run of device addresses that leads to physical memory, and what the device may do there. */
#pragma once

#include "physical_memory.h"

namespace vram {

class Mapping {
 public:
  explicit Mapping(const DriverTable &driver) : driver_(driver) {}
  ~Mapping() { (void)release(); }
  Mapping(const Mapping &) = delete;
  Mapping &operator=(const Mapping &) = delete;

  /** Reserves addresses, maps all of the memory there, and lets `device`, and no other, read and write it. */
  vram_status create(int device, const PhysicalMemory &memory);

  /** Changes what the device may do: CU_MEM_ACCESS_FLAGS_PROT_READ or CU_MEM_ACCESS_FLAGS_PROT_READWRITE. */
  vram_status set_access(CUmemAccess_flags access) { return set_access(0, bytes_, access); }
  /** The same for a range that is made of whole parts of the memory. */
  vram_status set_access(uint64_t offset, uint64_t bytes, CUmemAccess_flags access);

  /** Unmaps and gives the addresses back. On failure it remembers how far it came, and another call goes on there. */
  vram_status release();

  CUdeviceptr address() const { return address_; }
  uint64_t bytes() const { return bytes_; }

 private:
  const DriverTable &driver_;
  int device_ = 0;
  CUdeviceptr address_ = 0;
  uint64_t bytes_ = 0;  // 0: no address is reserved
  uint64_t part_bytes_ = 0;
  uint64_t mapped_parts_ = 0;
};

/** Memory and its mapping at one stroke, for callers that need both; what was done is undone by their destructors. */
vram_status create_mapped(int device, uint64_t bytes, uint64_t part_bytes, PhysicalMemory &memory, Mapping &mapping);

}  // namespace vram
