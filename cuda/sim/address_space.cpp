#include "address_space.h"

#include <sys/mman.h>

#include <algorithm>

namespace cuda_sim {
namespace {

constexpr uint64_t kMaxReservedBytes = uint64_t{1} << 46;

void *to_pointer(uint64_t address) {
  return reinterpret_cast<void *>(address);
}

/** Replaces mapped memory with inaccessible addresses, which keeps the range reserved. */
bool map_inaccessible(uint64_t address, uint64_t bytes) {
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
  return mmap(to_pointer(address), bytes, PROT_NONE, kFlags, -1, 0) != MAP_FAILED;
}

/** The host MMU has one protection for all devices: the widest access that any of them has. */
int protection(const std::vector<CUmemAccess_flags> &access) {
  switch (*std::max_element(access.begin(), access.end())) {
    case CU_MEM_ACCESS_FLAGS_PROT_READWRITE:
      return PROT_READ | PROT_WRITE;
    case CU_MEM_ACCESS_FLAGS_PROT_READ:
      return PROT_READ;
    default:
      return PROT_NONE;
  }
}

/** Extends the last span if the new one continues it, so that a range of adjacent allocations is one span. */
void append(std::vector<Span> &spans, const Span &next) {
  if (!spans.empty() && spans.back().data + spans.back().bytes == next.data) {
    spans.back().bytes += next.bytes;
  } else {
    spans.push_back(next);
  }
}

bool covers(const Mapping &mapping, uint64_t address) {
  return address >= mapping.address && address - mapping.address < mapping.bytes;
}

}  // namespace

CUresult AddressSpace::reserve(uint64_t bytes, uint64_t alignment, uint64_t *out_address) {
  if (!is_whole_granules(bytes) || (alignment & (alignment - 1)) != 0) return CUDA_ERROR_INVALID_VALUE;
  const uint64_t step = std::max(alignment, kGranuleBytes);
  if (bytes > kMaxReservedBytes || step > kMaxReservedBytes) return CUDA_ERROR_OUT_OF_MEMORY;

  // Reserve extra addresses, so that the range contains an aligned part. Unmap the rest.
  const uint64_t reserved_bytes = bytes + step;
  void *reserved = mmap(nullptr, reserved_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  const auto start = reinterpret_cast<uint64_t>(reserved);
  const uint64_t address = (start + step - 1) / step * step;
  if (address != start) munmap(reserved, address - start);
  munmap(to_pointer(address + bytes), start + reserved_bytes - (address + bytes));

  const std::lock_guard<std::mutex> lock(mutex_);
  reservations_.emplace(address, bytes);
  *out_address = address;
  return CUDA_SUCCESS;
}

CUresult AddressSpace::free(uint64_t address, uint64_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = reservations_.find(address);
  if (found == reservations_.end() || found->second != bytes) return CUDA_ERROR_INVALID_VALUE;
  if (!overlapping(address, bytes).empty()) return CUDA_ERROR_INVALID_VALUE;
  if (munmap(to_pointer(address), bytes) != 0) return CUDA_ERROR_UNKNOWN;
  reservations_.erase(found);
  return CUDA_SUCCESS;
}

CUresult AddressSpace::map(uint64_t address, std::shared_ptr<Allocation> allocation) {
  if (address % kGranuleBytes != 0) return CUDA_ERROR_INVALID_VALUE;
  const uint64_t bytes = allocation->bytes();
  auto mapping = std::make_shared<Mapping>();
  mapping->address = address;
  mapping->bytes = bytes;
  mapping->access.assign(device_count_, CU_MEM_ACCESS_FLAGS_PROT_NONE);

  const std::lock_guard<std::mutex> lock(mutex_);
  if (!is_in_reservation(address, bytes) || !overlapping(address, bytes).empty()) return CUDA_ERROR_INVALID_VALUE;
  const int file = allocation->file();
  uint64_t done = 0;
  for (const Extent &extent : allocation->extents()) {
    void *mapped = mmap(to_pointer(address + done), extent.bytes, PROT_NONE, MAP_SHARED | MAP_FIXED, file,
                        static_cast<off_t>(extent.offset));
    if (mapped == MAP_FAILED) {
      map_inaccessible(address, bytes);
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    done += extent.bytes;
  }
  mapping->allocation = std::move(allocation);
  mappings_.emplace(address, std::move(mapping));
  return CUDA_SUCCESS;
}

CUresult AddressSpace::unmap(uint64_t address, uint64_t bytes) {
  Mappings mappings;  // outlives the lock, because the last reference frees the allocation
  std::unique_lock<std::mutex> lock(mutex_);
  mappings = wait_until_unpinned(lock, address, bytes);
  if (mappings.empty()) return CUDA_ERROR_INVALID_VALUE;
  if (!map_inaccessible(address, bytes)) return CUDA_ERROR_UNKNOWN;
  for (const auto &mapping : mappings) mappings_.erase(mapping->address);
  return CUDA_SUCCESS;
}

CUresult AddressSpace::set_access(uint64_t address, uint64_t bytes, const CUmemAccessDesc *descs, size_t count) {
  std::unique_lock<std::mutex> lock(mutex_);
  const Mappings mappings = wait_until_unpinned(lock, address, bytes);
  if (mappings.empty()) return CUDA_ERROR_INVALID_VALUE;
  for (const auto &mapping : mappings) {
    std::vector<CUmemAccess_flags> access = mapping->access;
    for (size_t i = 0; i < count; ++i) access[static_cast<size_t>(descs[i].location.id)] = descs[i].flags;
    if (mprotect(to_pointer(mapping->address), mapping->bytes, protection(access)) != 0)
      return CUDA_ERROR_OUT_OF_MEMORY;
    mapping->access = std::move(access);
  }
  return CUDA_SUCCESS;
}

std::shared_ptr<Allocation> AddressSpace::allocation_at(uint64_t address) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::shared_ptr<Mapping> mapping = mapping_at(address);
  return mapping == nullptr ? nullptr : mapping->allocation;
}

std::optional<CUmemAccess_flags> AddressSpace::access_at(uint64_t address, int device) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  const std::shared_ptr<Mapping> mapping = mapping_at(address);
  if (mapping == nullptr) return std::nullopt;
  return mapping->access[static_cast<size_t>(device)];
}

bool AddressSpace::can_access(int device, uint64_t address, uint64_t bytes, CUmemAccess_flags access) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return !accessible(device, address, bytes, access).empty();
}

std::optional<AddressSpace::Pin> AddressSpace::pin(int device, uint64_t address, uint64_t bytes,
                                                   CUmemAccess_flags access) {
  Pin pin;
  if (bytes == 0) return pin;
  const std::lock_guard<std::mutex> lock(mutex_);
  Mappings touched = accessible(device, address, bytes, access);
  if (touched.empty()) return std::nullopt;
  for (const auto &mapping : touched) {
    if (!mapping->allocation->is_intact()) return std::nullopt;
  }
  for (const auto &mapping : touched) ++mapping->pins;
  pin.space_ = this;
  pin.mappings_ = std::move(touched);
  return pin;
}

std::vector<Span> AddressSpace::Pin::spans(uint64_t address, uint64_t bytes) const {
  std::vector<Span> spans;
  const uint64_t end = address + bytes;
  for (const auto &mapping : mappings_) {
    uint8_t *const view = mapping->allocation->view();
    uint64_t start = mapping->address;
    for (const Extent &extent : mapping->allocation->extents()) {
      const uint64_t first = std::max(address, start);
      const uint64_t last = std::min({end, start + extent.bytes, mapping->address + mapping->bytes});
      if (first < last) append(spans, {view + extent.offset + (first - start), last - first});
      start += extent.bytes;
    }
  }
  return spans;
}

void AddressSpace::unpin(const Mappings &mappings) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto &mapping : mappings) --mapping->pins;
  unpinned_.notify_all();
}

bool AddressSpace::overlaps_reservation(uint64_t address, uint64_t bytes) const {
  const uint64_t end = address + std::min(bytes, UINT64_MAX - address);
  const std::lock_guard<std::mutex> lock(mutex_);
  // Reserved ranges do not overlap, so only the last one that starts before the end can reach into the range.
  const auto after = reservations_.lower_bound(end);
  if (after == reservations_.begin()) return false;
  const auto &[start, length] = *std::prev(after);
  return address < start + length;
}

uint64_t AddressSpace::reservations() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return reservations_.size();
}

uint64_t AddressSpace::mappings() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return mappings_.size();
}

bool AddressSpace::is_in_reservation(uint64_t address, uint64_t bytes) const {
  const auto after = reservations_.upper_bound(address);
  if (after == reservations_.begin()) return false;
  const auto &[start, length] = *std::prev(after);
  return address - start < length && bytes <= length - (address - start);
}

std::shared_ptr<Mapping> AddressSpace::mapping_at(uint64_t address) const {
  const auto after = mappings_.upper_bound(address);
  if (after == mappings_.begin()) return nullptr;
  const std::shared_ptr<Mapping> &mapping = std::prev(after)->second;
  return covers(*mapping, address) ? mapping : nullptr;
}

AddressSpace::Mappings AddressSpace::overlapping(uint64_t address, uint64_t bytes) const {
  Mappings found;
  if (const std::shared_ptr<Mapping> first = mapping_at(address)) found.push_back(first);
  for (auto next = mappings_.upper_bound(address); next != mappings_.end() && next->first - address < bytes; ++next) {
    found.push_back(next->second);
  }
  return found;
}

AddressSpace::Mappings AddressSpace::accessible(int device, uint64_t address, uint64_t bytes,
                                                CUmemAccess_flags access) const {
  if (bytes > UINT64_MAX - address) return {};
  Mappings touched = overlapping(address, bytes);
  uint64_t next = address;
  for (const auto &mapping : touched) {
    if (!covers(*mapping, next) || mapping->access[static_cast<size_t>(device)] < access) return {};
    next = mapping->address + mapping->bytes;
  }
  return next < address + bytes ? Mappings{} : touched;
}

AddressSpace::Mappings AddressSpace::wait_until_unpinned(std::unique_lock<std::mutex> &lock, uint64_t address,
                                                         uint64_t bytes) {
  for (;;) {
    Mappings found = overlapping(address, bytes);
    uint64_t next = address;
    bool pinned = false;
    for (const auto &mapping : found) {
      if (mapping->address != next) return {};
      next += mapping->bytes;
      pinned = pinned || mapping->pins != 0;
    }
    if (next - address != bytes) return {};
    if (!pinned) return found;
    unpinned_.wait(lock);
  }
}

}  // namespace cuda_sim
