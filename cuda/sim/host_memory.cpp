#include "host_memory.h"

#include <sys/mman.h>

namespace cuda_sim {

std::shared_ptr<HostBuffer> HostBuffer::create(uint64_t bytes, int device) {
  void *address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) return nullptr;
  return std::shared_ptr<HostBuffer>(new HostBuffer(address, bytes, device, Kind::kAllocated));
}

std::shared_ptr<HostBuffer> HostBuffer::registered(void *address, uint64_t bytes, int device) {
  return std::shared_ptr<HostBuffer>(new HostBuffer(address, bytes, device, Kind::kRegistered));
}

HostBuffer::~HostBuffer() {
  if (kind_ == Kind::kAllocated) munmap(address_, bytes_);
}

bool HostMemory::add(std::shared_ptr<HostBuffer> buffer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto address = reinterpret_cast<uintptr_t>(buffer->address());
  const auto after = buffers_.lower_bound(address);
  if (after != buffers_.end() && after->first - address < buffer->bytes()) return false;
  if (after != buffers_.begin()) {
    const auto &[start, before] = *std::prev(after);
    if (address - start < before->bytes()) return false;
  }
  buffers_.emplace(address, std::move(buffer));
  return true;
}

bool HostMemory::remove(const void *address, HostBuffer::Kind kind) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = buffers_.find(reinterpret_cast<uintptr_t>(address));
  if (found == buffers_.end() || found->second->kind() != kind) return false;
  buffers_.erase(found);
  return true;
}

std::shared_ptr<HostBuffer> HostMemory::find(const void *address, uint64_t bytes) const {
  const auto start = reinterpret_cast<uintptr_t>(address);
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto after = buffers_.upper_bound(start);
  if (after == buffers_.begin()) return nullptr;
  const auto &[first, buffer] = *std::prev(after);
  const uintptr_t offset = start - first;
  return offset < buffer->bytes() && bytes <= buffer->bytes() - offset ? buffer : nullptr;
}

uint64_t HostMemory::count() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return buffers_.size();
}

}  // namespace cuda_sim
