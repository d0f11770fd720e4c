/** Pages of one device's own memory: owning them, apart from being able to address them (Mapping). */
#pragma once

#include <mutex>
#include <vector>

#include "driver_table.h"

namespace vram {

/** The least multiple that is not below `value`, where 64 bits hold it. */
inline uint64_t round_up(uint64_t value, uint64_t multiple) {
  return value / multiple * multiple + (value % multiple != 0 ? multiple : 0);
}

class PhysicalMemory {
 public:
  explicit PhysicalMemory(const DriverTable &driver) : driver_(driver) {}
  ~PhysicalMemory() { (void)release(); }
  PhysicalMemory(const PhysicalMemory &) = delete;
  PhysicalMemory &operator=(const PhysicalMemory &) = delete;

  /** What the driver is asked for: pinned pages of that device, which nobody else can be given. */
  static CUmemAllocationProp properties(int device);

  /**
   * Takes `bytes` in parts of `part_bytes`, the last of which may be shorter: all multiples of the device's
   * granularity. VRAM_OUT_OF_MEMORY when it has no room.
   */
  vram_status create(int device, uint64_t bytes, uint64_t part_bytes);

  /** Gives the pages back. On failure some are still owned, and another call tries again. */
  vram_status release();

  /** Gives back one more reference to the pages, which the driver has retained for a question about them. On failure
   *  release() tries again: a reference that stays would keep the pages from ever being free. Any thread may call it.
   */
  vram_status release_reference(CUmemGenericAllocationHandle reference);

  const std::vector<CUmemGenericAllocationHandle> &parts() const { return parts_; }
  uint64_t part_bytes() const { return part_bytes_; }
  uint64_t bytes() const { return bytes_; }
  bool is_owned() const { return !parts_.empty(); }

 private:
  const DriverTable &driver_;
  std::vector<CUmemGenericAllocationHandle> parts_;
  uint64_t part_bytes_ = 0;
  uint64_t bytes_ = 0;
  std::mutex mutex_;
  std::vector<CUmemGenericAllocationHandle> owed_references_;
};

}  // namespace vram
