/** Physical memory that somebody took: cuMemCreate's handle and each mapping of it keep it alive. */
#pragma once

#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "device.h"

namespace cuda_sim {

class Allocation {
 public:
  /** Takes `bytes` bytes of a device, whole granules; CUDA_ERROR_OUT_OF_MEMORY where it has no room. */
  static CUresult create(Device &device, uint64_t bytes, std::shared_ptr<Allocation> *out_allocation);
  ~Allocation() { device_.memory->give_back(extents_); }
  Allocation(const Allocation &) = delete;
  Allocation &operator=(const Allocation &) = delete;

  Device &device() const { return device_; }
  uint64_t bytes() const { return bytes_; }
  const std::vector<Extent> &extents() const { return extents_; }

 private:
  Allocation(Device &device, uint64_t bytes) : device_(device), bytes_(bytes) {}

  Device &device_;
  const uint64_t bytes_;
  std::vector<Extent> extents_;
};

/** Allocation handles, each with a count of its references. */
class AllocationHandles {
 public:
  CUmemGenericAllocationHandle add(std::shared_ptr<Allocation> allocation);
  /** Null for a handle that names nothing. */
  std::shared_ptr<Allocation> find(CUmemGenericAllocationHandle handle) const;
  /** Adds a reference to the handle of an allocation, which gets a new one where it was released before. */
  CUmemGenericAllocationHandle retain(const std::shared_ptr<Allocation> &allocation);
  /** Drops a reference; false for a handle that names nothing. */
  bool release(CUmemGenericAllocationHandle handle);
  uint64_t count() const;

 private:
  struct Entry {
    std::shared_ptr<Allocation> allocation;
    uint64_t references;
  };

  mutable std::mutex mutex_;
  std::unordered_map<CUmemGenericAllocationHandle, Entry> entries_;
};

}  // namespace cuda_sim
