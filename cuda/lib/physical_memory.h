/** Pages of one device's own memory: owning them, apart from being able to address them (Mapping). */
#pragma once

#include <mutex>
#include <vector>

#include "driver_table.h"

namespace vram {

class PhysicalMemory {
 public:
  explicit PhysicalMemory(const DriverTable &driver) : driver_(driver) {}
  ~PhysicalMemory() { (void)release(); }
  PhysicalMemory(const PhysicalMemory &) = delete;
  PhysicalMemory &operator=(const PhysicalMemory &) = delete;

  /** What the driver is asked for: pinned pages of that device, which nobody else can be given. */
  static cu::AllocationProp properties(int device);

  /** Takes `bytes`, a multiple of the device's granularity. VRAM_OUT_OF_MEMORY when it has no room. */
  vram_status create(int device, uint64_t bytes);

  /** Gives the pages back. On failure they are still owned, and another call tries again. */
  vram_status release();

  /** Gives back one more reference to the pages, which the driver has retained for a question about them. On failure
   *  release() tries again: a reference that stays would keep the pages from ever being free. Any thread may call it.
   */
  vram_status release_reference(cu::AllocationHandle reference);

  cu::AllocationHandle handle() const { return handle_; }
  uint64_t bytes() const { return bytes_; }

 private:
  const DriverTable &driver_;
  cu::AllocationHandle handle_ = 0;
  uint64_t bytes_ = 0;  // 0: nothing is owned
  std::mutex mutex_;
  std::vector<cu::AllocationHandle> owed_references_;
};

}  // namespace vram
