/**
 * The addresses that devices use: reserved ranges, what is mapped where, and who may touch it. They are addresses of
 * this process too, so that the host's MMU protects them; a device's operation is checked against the table before it
 * touches anything, and pins what it uses, so that it never meets a signal.
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

/** One cuMemMap: the front of an allocation, at an address. */
struct Mapping {
  uint64_t address;
  uint64_t bytes;
  std::shared_ptr<Allocation> allocation;
  std::vector<CUmemAccess_flags> access; /* by device */
  unsigned pins = 0;                     /* operations under way */
};

/** A part of a range of addresses where the device's own view of its memory has it. */
struct Run {
  uint8_t *bytes;
  uint64_t length;
};

class AddressSpace {
 public:
  /** Keeps mappings as they are while it lives. */
  class Pin {
   public:
    /** The memory behind a part of what is pinned, in order. Each page of it costs a fault once, not once a mapping. */
    std::vector<Run> runs(uint64_t address, uint64_t bytes) const;

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

  /** The functions of the driver API that are named so; see there for what they demand. */
  CUresult reserve(uint64_t bytes, uint64_t alignment, uint64_t *out_address);
  CUresult free(uint64_t address, uint64_t bytes);
  CUresult map(uint64_t address, uint64_t bytes, std::shared_ptr<Allocation> allocation);
  /** Waits for the operations that use the range. It is made of whole mappings, as set_access's is. */
  CUresult unmap(uint64_t address, uint64_t bytes);
  CUresult set_access(uint64_t address, uint64_t bytes, const CUmemAccessDesc *descs, size_t count);

  /** What is mapped at an address; nothing where nothing is. */
  std::shared_ptr<Allocation> allocation_at(uint64_t address) const;
  std::optional<CUmemAccess_flags> access_at(uint64_t address, int device) const;

  /** Pins a range for an operation of a device that needs `access`; nothing where the device would fault. */
  std::optional<Pin> pin(int device, uint64_t address, uint64_t bytes, CUmemAccess_flags access);

  /** Whether a range of the host meets a reserved one. */
  bool is_reserved(uint64_t address, uint64_t bytes) const;

  uint64_t reservations() const;
  uint64_t mappings() const;

 private:
  using Mappings = std::vector<std::shared_ptr<Mapping>>;

  bool is_in_reservation(uint64_t address, uint64_t bytes) const;
  std::shared_ptr<Mapping> mapping_at(uint64_t address) const;
  Mappings overlapping(uint64_t address, uint64_t bytes) const;
  /** The mappings that make up a range exactly, none of them in use; empty where there are no such. */
  Mappings wait_for_whole(std::unique_lock<std::mutex> &lock, uint64_t address, uint64_t bytes);
  void unpin(const Mappings &mappings);

  const size_t device_count_;
  mutable std::mutex mutex_;
  std::condition_variable unpinned_;
  std::map<uint64_t, uint64_t> reservations_; /* bytes by address */
  std::map<uint64_t, std::shared_ptr<Mapping>> mappings_;
};

}  // namespace cuda_sim
