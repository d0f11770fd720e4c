/** Allocations of physical memory. The handle from cuMemCreate and each mapping keep an allocation alive. */
#pragma once

#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "device.h"

namespace cuda_sim {

class Allocation {
 public:
  /** Allocates whole granules of a device. CUDA_ERROR_OUT_OF_MEMORY if too few are free. */
  static CUresult create(Device &device, uint64_t bytes, std::shared_ptr<Allocation> *out_allocation);
  ~Allocation() { device_.memory->release(extents_); }
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

/** Reference-counted allocation handles. */
class AllocationHandles {
 public:
  CUmemGenericAllocationHandle add(std::shared_ptr<Allocation> allocation);
  /** Null if the handle is invalid. */
  std::shared_ptr<Allocation> find(CUmemGenericAllocationHandle handle) const;
  /** Adds a reference to the allocation's handle, or issues a new handle if the old one was released. */
  CUmemGenericAllocationHandle retain(const std::shared_ptr<Allocation> &allocation);
  /** Drops a reference. False if the handle is invalid. */
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
