#include "load_target.h"

#include <algorithm>

namespace vram {
namespace {

uint64_t hashes_bytes(uint64_t bytes, uint32_t flags) {
  return (flags & VRAM_LOAD_TREE) != 0 ? group_count(bytes) * kDigestBytes : 0;
}

}  // namespace

LoadTarget::LoadTarget(std::shared_ptr<Driver> driver, uint64_t bytes, uint32_t flags)
    : driver_(std::move(driver)),
      bytes_(bytes),
      flags_(flags),
      groups_(group_count(bytes)),
      hashes_(hashes_bytes(bytes, flags)) {}

LoadTarget::LoadTarget(std::shared_ptr<Allocation> allocation, uint32_t flags)
    : driver_(allocation->shared_driver()),
      allocation_(std::move(allocation)),
      bytes_(allocation_->bytes()),
      flags_(flags),
      groups_(group_count(bytes_)),
      hashes_(hashes_bytes(bytes_, flags)) {}

vram_status LoadTarget::begin() {
  if (allocation_ != nullptr) VRAM_TRY(allocation_->begin_load());
  add_writer();
  return VRAM_OK;
}

void LoadTarget::add_writer() {
  const std::lock_guard<std::mutex> lock(mutex_);
  ++writers_;
}

void LoadTarget::remove_writer() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (--writers_ == 0 && allocation_ != nullptr) allocation_->end_load();
}

vram_status LoadTarget::fail(vram_status status) {
  vram_status none = VRAM_OK;
  if (status != VRAM_OK) (void)failure_.compare_exchange_strong(none, status);
  return status;
}

vram_status LoadTarget::claim(uint64_t from, uint64_t until) {
  if (until > bytes_) return VRAM_LOAD_OVERRUN;
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto first = groups_.begin() + static_cast<ptrdiff_t>(group_count(from));
  const auto last = groups_.begin() + static_cast<ptrdiff_t>(group_count(until));
  if (std::any_of(first, last, [](Group group) { return group != Group::kFree; })) return VRAM_LOAD_OVERLAP;
  std::fill(first, last, Group::kClaimed);
  return VRAM_OK;
}

void LoadTarget::settle(uint64_t from, uint64_t reached, uint64_t until) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t complete_until = reached == bytes_ ? groups_.size() : reached / kGroupBytes;
  for (uint64_t group = from / kGroupBytes; group < complete_until; ++group) groups_[group] = Group::kComplete;
  complete_groups_ += complete_until - from / kGroupBytes;
  for (uint64_t group = group_count(reached); group < group_count(until); ++group) groups_[group] = Group::kFree;
  while (prefix_groups_ < groups_.size() && groups_[prefix_groups_] == Group::kComplete) ++prefix_groups_;
}

void LoadTarget::store_hashes(uint64_t offset, const std::vector<uint8_t> &hashes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::copy(hashes.begin(), hashes.end(),
            hashes_.begin() + static_cast<ptrdiff_t>(offset / kGroupBytes * kDigestBytes));
}

bool LoadTarget::is_complete() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return complete_groups_ == groups_.size();
}

vram_status LoadTarget::seal(uint64_t *out_sealed_bytes) {
  *out_sealed_bytes = 0;
  if (allocation_ == nullptr) return VRAM_OK;
  const std::lock_guard<std::mutex> sealing(seal_mutex_);
  uint64_t filled_bytes = 0;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    filled_bytes = std::min(prefix_groups_ * kGroupBytes, bytes_);
  }
  return allocation_->seal_filled(filled_bytes, out_sealed_bytes);
}

void LoadTarget::tree_digest(uint8_t *out_digest) {
  const std::lock_guard<std::mutex> lock(mutex_);
  fold_groups(hashes_.data(), bytes_, out_digest);
}

}  // namespace vram
