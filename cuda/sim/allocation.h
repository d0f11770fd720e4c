/** Allocations of physical memory. The handle from cuMemCreate and each mapping keep an allocation alive. */
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "device.h"
#include "shared_memory.h"

namespace cuda_sim {

class Allocation {
 public:
  /** Allocates whole granules of a device. CUDA_ERROR_OUT_OF_MEMORY if too few are free. */
  static CUresult create(Device &device, uint64_t bytes, std::shared_ptr<Allocation> *out_allocation);
  /** Takes memory that is already charged to the device. */
  Allocation(Device &device, std::unique_ptr<SharedMemory> shared);
  ~Allocation();
  Allocation(const Allocation &) = delete;
  Allocation &operator=(const Allocation &) = delete;

  Device &device() const { return device_; }
  uint64_t bytes() const { return bytes_; }
  /** Where the bytes are, in file() and in view(). */
  const std::vector<Extent> &extents() const { return extents_; }
  int file() const { return is_shared() ? shared_->file() : device_.memory->file(); }
  uint8_t *view() const { return is_shared() ? shared_->view() : device_.memory->view(); }
  bool is_intact() const { return is_shared() ? shared_->is_intact() : device_.memory->is_intact(); }

  /** Whether it was created for export, or imported. */
  bool is_shared() const { return shared_ != nullptr; }

 private:
  Allocation(Device &device, uint64_t bytes) : device_(device), bytes_(bytes) {}

  Device &device_;
  const uint64_t bytes_;
  std::vector<Extent> extents_;
  std::unique_ptr<SharedMemory> shared_; /* null if the memory is in the device's file */
};

/** Creates and imports shared memory. It is one allocation in this process, and charged once, however often imported.
 */
class SharedAllocations {
 public:
  /** CUDA_ERROR_OUT_OF_MEMORY if too few granules are free or the file cannot be created. */
  CUresult create(Device &device, uint64_t bytes, std::shared_ptr<Allocation> *out_allocation);
  /**
   * Imports an exported descriptor, which stays the caller's. `devices` are those of this process.
   * CUDA_ERROR_INVALID_VALUE if the descriptor is not exported memory, CUDA_ERROR_NOT_SUPPORTED if this process does
   * not have its device.
   */
  CUresult import(int descriptor, const std::vector<std::unique_ptr<Device>> &devices,
                  std::shared_ptr<Allocation> *out_allocation);

 private:
  /** Requires the lock. */
  void remember(const FileId &id, const std::shared_ptr<Allocation> &allocation);

  std::mutex mutex_;
  std::map<FileId, std::weak_ptr<Allocation>> allocations_;
};

/** Reference-counted allocation handles. */
class AllocationHandles {
 public:
  CUmemGenericAllocationHandle add(std::shared_ptr<Allocation> allocation);
  /** Null if the handle is invalid. */
  std::shared_ptr<Allocation> find(CUmemGenericAllocationHandle handle) const;
  /** Adds a reference to a handle of the allocation, or issues a new handle if all were released. */
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
