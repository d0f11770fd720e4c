/** Asks the driver where memory is and who may touch it, and holds the answer against what was promised. */
#pragma once

#include "driver_table.h"

namespace vram {

/** What the memory is said to be: `access` for `device`, nothing for any other of `device_count`. */
struct ResidencyClaim {
  cu::DevicePtr address;
  uint64_t bytes;
  int device;
  int device_count;
  cu::AccessFlags access;
};

/** Writes every VRAM_VIOLATION_* that the driver's answers show. Fails only when the driver does not answer. */
vram_status inspect_residency(const DriverTable &driver, const ResidencyClaim &claim, uint32_t *out_violations);

}  // namespace vram
