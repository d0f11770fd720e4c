/** Physical memory of one device, created or imported. A Mapping makes it addressable. */
#pragma once

#include <algorithm>
#include <mutex>
#include <vector>

#include "descriptors.h"
#include "driver_table.h"

namespace vram {

/** Rounds up to a multiple. The result must fit in 64 bits. */
inline uint64_t round_up(uint64_t value, uint64_t multiple) {
  return value / multiple * multiple + (value % multiple != 0 ? multiple : 0);
}

/** Memory is made of parts of `part_bytes`; the last one may be shorter. Returns the length of the part at `offset`. */
inline uint64_t part_length(uint64_t bytes, uint64_t part_bytes, uint64_t offset) {
  return std::min(part_bytes, bytes - offset);
}

/** Memory to create or import. The sizes are multiples of the device's granularity. */
struct MemoryRequest {
  int device;
  uint64_t bytes;
  uint64_t part_bytes;      // the last part may be shorter
  bool exportable = false;  // as file descriptors
};

class PhysicalMemory {
 public:
  explicit PhysicalMemory(const DriverTable &driver) : driver_(driver) {}
  ~PhysicalMemory() { (void)release(); }
  PhysicalMemory(const PhysicalMemory &) = delete;
  PhysicalMemory &operator=(const PhysicalMemory &) = delete;

  /** Properties of pinned memory of a device. */
  static CUmemAllocationProp properties(int device, bool exportable);

  /**
   * Allocates the parts, one cuMemCreate() each. VRAM_OUT_OF_MEMORY if the device has too little; release() then frees
   * the parts that were created.
   */
  vram_status create(const MemoryRequest &request);

  /**
   * Imports one part from each descriptor, which stays the caller's. VRAM_POLICY_VIOLATION if one is not memory of the
   * device; release() then releases the parts that were imported.
   */
  vram_status import(const MemoryRequest &request, const std::vector<int> &descriptors);

  /** Exports all parts, in order. On failure `out_descriptors` has those that were exported. */
  vram_status export_parts(Descriptors &out_descriptors) const;

  /**
   * Releases the memory, which frees it unless another process has it. On failure some parts are still owned; another
   * call continues.
   */
  vram_status release();

  /**
   * Releases a reference from cuMemRetainAllocationHandle(). On failure release() retries it, because one reference
   * keeps the memory allocated. Any thread may call it.
   */
  vram_status release_reference(CUmemGenericAllocationHandle reference);

  const std::vector<CUmemGenericAllocationHandle> &parts() const { return parts_; }
  uint64_t part_bytes() const { return part_bytes_; }
  uint64_t bytes() const { return bytes_; }
  bool is_owned() const { return !parts_.empty(); }

 private:
  void begin(const MemoryRequest &request);

  const DriverTable &driver_;
  std::vector<CUmemGenericAllocationHandle> parts_;
  uint64_t part_bytes_ = 0;
  uint64_t bytes_ = 0;
  std::mutex mutex_;
  std::vector<CUmemGenericAllocationHandle> unreleased_references_;
};

}  // namespace vram
