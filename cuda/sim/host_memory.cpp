#include "host_memory.h"

#include <sys/mman.h>

namespace cuda_sim {

std::shared_ptr<HostBuffer> HostBuffer::create(uint64_t bytes, int device) {
  void *address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) return nullptr;
  return std::shared_ptr<HostBuffer>(new HostBuffer(address, bytes, device));
}

HostBuffer::~HostBuffer() {
  munmap(address_, bytes_);
}

void HostMemory::add(std::shared_ptr<HostBuffer> buffer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto address = reinterpret_cast<uintptr_t>(buffer->address());
  buffers_.emplace(address, std::move(buffer));
}

bool HostMemory::remove(const void *address) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return buffers_.erase(reinterpret_cast<uintptr_t>(address)) != 0;
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
