#include "allocation.h"

#include <algorithm>

#include "registry.h"

namespace cuda_sim {

CUresult Allocation::create(Device &device, uint64_t bytes, std::shared_ptr<Allocation> *out_allocation) {
  std::shared_ptr<Allocation> allocation(new Allocation(device, bytes));
  const CUresult result = device.memory->allocate(bytes, &allocation->extents_);
  if (result == CUDA_SUCCESS) *out_allocation = std::move(allocation);
  return result;
}

Allocation::Allocation(Device &device, std::unique_ptr<SharedMemory> shared)
    : device_(device), bytes_(shared->bytes()), extents_{{0, shared->bytes()}}, shared_(std::move(shared)) {}

Allocation::~Allocation() {
  if (is_shared()) {
    device_.memory->discharge(bytes_);
  } else {
    device_.memory->release(extents_);
  }
}

CUresult SharedAllocations::create(Device &device, uint64_t bytes, std::shared_ptr<Allocation> *out_allocation) {
  if (!device.memory->charge(bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
  std::unique_ptr<SharedMemory> shared = SharedMemory::create(device.index, bytes, device.memory->directory());
  if (shared == nullptr) {
    device.memory->discharge(bytes);
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  const FileId id = shared->id();
  auto allocation = std::make_shared<Allocation>(device, std::move(shared));
  const std::lock_guard<std::mutex> lock(mutex_);
  remember(id, allocation);
  *out_allocation = std::move(allocation);
  return CUDA_SUCCESS;
}

CUresult SharedAllocations::import(int descriptor, const std::vector<std::unique_ptr<Device>> &devices,
                                   std::shared_ptr<Allocation> *out_allocation) {
  const std::optional<SharedFile> file = SharedFile::identify(descriptor);
  if (!file) return CUDA_ERROR_INVALID_VALUE;
  const auto owner =
      std::find_if(devices.begin(), devices.end(), [&](const auto &device) { return device->index == file->index; });
  if (owner == devices.end()) return CUDA_ERROR_NOT_SUPPORTED;
  Device &device = **owner;

  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = allocations_.find(file->id);
  if (found != allocations_.end()) *out_allocation = found->second.lock();
  if (*out_allocation != nullptr) return CUDA_SUCCESS;
  std::unique_ptr<SharedMemory> shared = SharedMemory::open(descriptor, *file);
  if (shared == nullptr) return CUDA_ERROR_OPERATING_SYSTEM;
  device.memory->charge_imported(file->bytes);
  auto allocation = std::make_shared<Allocation>(device, std::move(shared));
  remember(file->id, allocation);
  *out_allocation = std::move(allocation);
  return CUDA_SUCCESS;
}

void SharedAllocations::remember(const FileId &id, const std::shared_ptr<Allocation> &allocation) {
  for (auto entry = allocations_.begin(); entry != allocations_.end();) {
    entry = entry->second.expired() ? allocations_.erase(entry) : std::next(entry);
  }
  allocations_[id] = allocation;
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
