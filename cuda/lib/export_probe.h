/**
 * Tries whether a device can export memory. A driver may claim it and then fail: the driver of Windows Subsystem for
 * Linux does.
 */
#pragma once

#include <atomic>
#include <mutex>

#include "physical_memory.h"

namespace vram {

class ExportProbe {
 public:
  explicit ExportProbe(const DriverTable &driver) : driver_(driver), created_(driver), imported_(driver) {}

  /**
   * Creates, exports, imports and releases one granule. Fails only if the driver cannot be asked. If a step fails,
   * result() says so. Each function needs the device's context.
   */
  vram_status run(CUdevice device, int ordinal, uint64_t granularity_bytes);

  /** Releases memory that run() could not release. */
  vram_status release();

  /** VRAM_OK if every step succeeded, VRAM_NOT_EXPORTABLE if the driver does not claim it, else the first error. */
  vram_status result() const { return result_; }

  /** Tries again if the device had no memory for the trial. VRAM_OK, VRAM_OUT_OF_MEMORY or VRAM_NOT_EXPORTABLE. */
  vram_status require();

 private:
  vram_status try_export();

  const DriverTable &driver_;
  PhysicalMemory created_;
  PhysicalMemory imported_;
  MemoryRequest request_ = {};
  std::mutex mutex_;  // held by require()
  std::atomic<vram_status> result_{VRAM_NOT_EXPORTABLE};
};

}  // namespace vram
