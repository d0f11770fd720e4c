/** Asks the driver where memory is and which devices can access it, and compares the results with the expected ones. */
#pragma once

#include "physical_memory.h"

namespace vram {

/** Expected: `device` has `access`, and the other devices have no access. */
struct ExpectedResidency {
  CUdeviceptr address;
  uint64_t bytes;
  int device;
  int device_count;
  CUmemAccess_flags access;
};

/**
 * Writes the VRAM_VIOLATION_* bits that the driver's results show. Fails only if a driver call fails. `memory` is the
 * memory in question; it owns the references that the driver returns during the inspection.
 */
vram_status inspect_residency(const DriverTable &driver, const ExpectedResidency &expected, PhysicalMemory &memory,
                              uint32_t *out_violations);

}  // namespace vram
