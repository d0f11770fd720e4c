#include "allocation.h"

#include "registry.h"

namespace cuda_sim {

CUresult Allocation::create(Device &device, uint64_t bytes, std::shared_ptr<Allocation> *out_allocation) {
  std::shared_ptr<Allocation> allocation(new Allocation(device, bytes));
  const CUresult result = device.memory->allocate(bytes, &allocation->extents_);
  if (result == CUDA_SUCCESS) *out_allocation = std::move(allocation);
  return result;
}

CUmemGenericAllocationHandle AllocationHandles::add(std::shared_ptr<Allocation> allocation) {
  const CUmemGenericAllocationHandle handle = issue_handle();
  const std::lock_guard<std::mutex> lock(mutex_);
  entries_.emplace(handle, Entry{std::move(allocation), 1});
  return handle;
}

std::shared_ptr<Allocation> AllocationHandles::find(CUmemGenericAllocationHandle handle) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(handle);
  return found == entries_.end() ? nullptr : found->second.allocation;
}

CUmemGenericAllocationHandle AllocationHandles::retain(const std::shared_ptr<Allocation> &allocation) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto &[handle, entry] : entries_) {
      if (entry.allocation != allocation) continue;
      ++entry.references;
      return handle;
    }
  }
  return add(allocation);
}

bool AllocationHandles::release(CUmemGenericAllocationHandle handle) {
  std::shared_ptr<Allocation> last;  // outlives the lock, because the last reference frees the allocation

  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = entries_.find(handle);
  if (found == entries_.end()) return false;
  if (--found->second.references != 0) return true;
  last = std::move(found->second.allocation);
  entries_.erase(found);
  return true;
}

uint64_t AllocationHandles::count() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return entries_.size();
}

}  // namespace cuda_sim
