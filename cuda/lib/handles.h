/**
 * Handles: the numbers that name objects outside the library. A number is never reused, so a stale handle is detected.
 * The kind is part of the number, so a handle of another kind is detected as well. Any thread may call any function.
 */
#pragma once

#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "../include/vram.h"

namespace vram {

enum class HandleKind : uint64_t { kDriver = 1, kAllocation = 2, kLoad = 3, kFile = 4 };

template <typename Object, HandleKind kKind>
class Handles {
 public:
  using Entry = std::pair<uint64_t, std::shared_ptr<Object>>;

  uint64_t issue(std::shared_ptr<Object> object) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const uint64_t handle = number(last_serial_ + 1);
    objects_.emplace(handle, std::move(object));
    ++last_serial_;
    return handle;
  }

  /** The object stays valid while the caller holds the pointer, even if another thread retires the handle. */
  vram_status find(uint64_t handle, std::shared_ptr<Object> *out_object) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = objects_.find(handle);
    if (found == objects_.end()) return was_issued(handle) ? VRAM_STALE_HANDLE : VRAM_BAD_HANDLE;
    *out_object = found->second;
    return VRAM_OK;
  }

  void retire(uint64_t handle) {
    std::shared_ptr<Object> object;  // outlives the lock, so that no destructor runs under it
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = objects_.find(handle);
    if (found == objects_.end()) return;
    object = std::move(found->second);
    objects_.erase(found);
  }

  std::vector<Entry> entries() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return {objects_.begin(), objects_.end()};
  }

 private:
  // 50 bits of serial number and 3 of kind: below 2^53, so that a JavaScript number can hold it.
  static constexpr uint64_t kKinds = 8;
  static uint64_t number(uint64_t serial) { return serial * kKinds + static_cast<uint64_t>(kKind); }

  bool was_issued(uint64_t handle) const {
    const uint64_t serial = handle / kKinds;
    return handle == number(serial) && serial >= 1 && serial <= last_serial_;
  }

  std::mutex mutex_;
  std::unordered_map<uint64_t, std::shared_ptr<Object>> objects_;
  uint64_t last_serial_ = 0;
};

/** The handles of one kind. */
template <typename Object, HandleKind kKind>
Handles<Object, kKind> &registry() {
  // Never destroyed: at exit other threads may still be inside a call, and the driver may be unloaded.
  static auto *const handles = new Handles<Object, kKind>();
  return *handles;
}

}  // namespace vram
