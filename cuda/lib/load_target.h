/** What all writers of a load share: the memory, the groups that have arrived, and the first failure. See vram.h. */
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "allocation.h"
#include "tree.h"

namespace vram {

class LoadTarget {
 public:
  /** Only digests; makes no driver call. */
  LoadTarget(std::shared_ptr<Driver> driver, uint64_t bytes, uint32_t flags);
  /** Also fills the allocation. */
  LoadTarget(std::shared_ptr<Allocation> allocation, uint32_t flags);

  Driver &driver() { return *driver_; }
  /** Null if the load only digests. */
  Allocation *allocation() { return allocation_.get(); }
  const std::shared_ptr<Allocation> &shared_allocation() const { return allocation_; }
  uint64_t bytes() const { return bytes_; }
  bool has(uint32_t flag) const { return (flags_ & flag) != 0; }

  /** Reserves the allocation for the first writer. */
  vram_status begin();
  /** Keeps the reservation for one writer more, and for one less. The last one ends it. */
  void add_writer();
  void remove_writer();

  /** The first failure of any writer. Every later call of all writers returns it. */
  vram_status failure() const { return failure_; }
  /** Records a failure. VRAM_OK has no effect. Returns its argument. */
  vram_status fail(vram_status status);

  /**
   * Claims the groups of a range for one writer, before it takes any of their bytes. A group that begins before the range
   * is its own already. VRAM_LOAD_OVERRUN, or VRAM_LOAD_OVERLAP if a group was claimed before.
   */
  vram_status claim(uint64_t from, uint64_t until);
  /** The bytes from `from` to `reached` are on the device. Gives the claimed groups after `reached` back. */
  void settle(uint64_t from, uint64_t reached, uint64_t until);
  /** Stores the hashes of complete groups from `offset` on. */
  void store_hashes(uint64_t offset, const std::vector<uint8_t> &hashes);

  bool is_complete();
  /** See vram_load_seal: seals the full parts of the groups that are complete without a gap from the start. */
  vram_status seal(uint64_t *out_sealed_bytes);
  /** The fs-verity digest of a complete load. */
  void tree_digest(uint8_t *out_digest);

 private:
  enum class Group : uint8_t { kFree, kClaimed, kComplete };

  const std::shared_ptr<Driver> driver_;
  const std::shared_ptr<Allocation> allocation_;
  const uint64_t bytes_;
  const uint32_t flags_;
  std::atomic<vram_status> failure_{VRAM_OK};

  std::mutex seal_mutex_;  // held while parts are sealed; before mutex_
  std::mutex mutex_;       // guards the fields below; never held during a driver call
  uint64_t writers_ = 0;
  std::vector<Group> groups_;
  uint64_t complete_groups_ = 0;
  uint64_t prefix_groups_ = 0;  // complete, without a gap from the start
  std::vector<uint8_t> hashes_;
};

}  // namespace vram
