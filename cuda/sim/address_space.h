/**
 * Device addresses: reserved ranges, mappings and access rights. They are also addresses of this process, so the host
 * MMU protects them. Each device operation first checks the table of mappings and pins the ones that it uses. An
 * operation without access therefore returns an error instead of raising a signal.
 */
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "allocation.h"

namespace cuda_sim {

/** The result of one cuMemMap: an allocation, at an address. */
struct Mapping {
  uint64_t address;
  uint64_t bytes;
  std::shared_ptr<Allocation> allocation;
  std::vector<CUmemAccess_flags> access; /* indexed by device ordinal */
  unsigned pins = 0;                     /* operations in progress */
};

/** Contiguous bytes in the linear view of a device's memory. */
struct Span {
  uint8_t *data;
  uint64_t bytes;
};

class AddressSpace {
 public:
  /** While a pin exists, nothing unmaps its mappings or changes their access. */
  class Pin {
   public:
    /** The memory behind a pinned range, in order. A page of the linear view faults once, not once per mapping. */
    std::vector<Span> spans(uint64_t address, uint64_t bytes) const;

    Pin() = default;
    Pin(Pin &&other) noexcept : space_(other.space_), mappings_(std::move(other.mappings_)) { other.mappings_.clear(); }
    Pin &operator=(Pin &&) = delete;
    ~Pin() {
      if (!mappings_.empty()) space_->unpin(mappings_);
    }

   private:
    friend class AddressSpace;
    AddressSpace *space_ = nullptr;
    std::vector<std::shared_ptr<Mapping>> mappings_;
  };

  explicit AddressSpace(size_t device_count) : device_count_(device_count) {}

  /** These implement cuMemAddressReserve, cuMemAddressFree, cuMemMap, cuMemUnmap and cuMemSetAccess. */
  CUresult reserve(uint64_t bytes, uint64_t alignment, uint64_t *out_address);
  CUresult free(uint64_t address, uint64_t bytes);
  CUresult map(uint64_t address, std::shared_ptr<Allocation> allocation);
  /** unmap and set_access wait for operations that use the range. The range must consist of whole mappings. */
  CUresult unmap(uint64_t address, uint64_t bytes);
  CUresult set_access(uint64_t address, uint64_t bytes, const CUmemAccessDesc *descs, size_t count);

  /** The allocation mapped at an address, and a device's access to it. Empty if the address is not mapped. */
  std::shared_ptr<Allocation> allocation_at(uint64_t address) const;
  std::optional<CUmemAccess_flags> access_at(uint64_t address, int device) const;

  /** Whether a device has `access` to a whole range. A copy or a memset of another range is refused at the call. */
  bool can_access(int device, uint64_t address, uint64_t bytes, CUmemAccess_flags access) const;
  /** Pins a range for a device operation that needs `access`. Empty if the device would fault. */
  std::optional<Pin> pin(int device, uint64_t address, uint64_t bytes, CUmemAccess_flags access);

  /** Whether a host range overlaps a reserved range. */
  bool overlaps_reservation(uint64_t address, uint64_t bytes) const;

  uint64_t reservations() const;
  uint64_t mappings() const;

 private:
  using Mappings = std::vector<std::shared_ptr<Mapping>>;

  bool is_in_reservation(uint64_t address, uint64_t bytes) const;
  std::shared_ptr<Mapping> mapping_at(uint64_t address) const;
  Mappings overlapping(uint64_t address, uint64_t bytes) const;
  /** The mappings of a range to which a device has `access`. Empty if it does not have it to the whole range. */
  Mappings accessible(int device, uint64_t address, uint64_t bytes, CUmemAccess_flags access) const;
  /** Waits until no operation uses the range. Returns its mappings; empty if they do not cover the range exactly. */
  Mappings wait_until_unpinned(std::unique_lock<std::mutex> &lock, uint64_t address, uint64_t bytes);
  void unpin(const Mappings &mappings);

  const size_t device_count_;
  mutable std::mutex mutex_;
  std::condition_variable unpinned_;
  std::map<uint64_t, uint64_t> reservations_; /* address to bytes */
  std::map<uint64_t, std::shared_ptr<Mapping>> mappings_;
};

}  // namespace cuda_sim
