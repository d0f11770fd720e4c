/** Asks the driver where memory is and who may touch it, and holds the answer against what was promised. */
#pragma once

#include "physical_memory.h"

namespace vram {

/** What the memory is said to be: `access` for `device`, nothing for any other of `device_count`. */
struct ResidencyClaim {
  CUdeviceptr address;
  uint64_t bytes;
  int device;
  int device_count;
  CUmemAccess_flags access;
};

/** Writes every VRAM_VIOLATION_* that the driver's answers show. Fails only when the driver does not answer. `memory`
 * is what the claim is about: it answers for the references that the driver hands out on the way. */
vram_status inspect_residency(const DriverTable &driver, const ResidencyClaim &claim, PhysicalMemory &memory,
                              uint32_t *out_violations);

}  // namespace vram
