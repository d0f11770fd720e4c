/** Handles of simulator objects. No handle is ever reused, so the simulator detects every stale one. */
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>

namespace cuda_sim {

/** Issues a handle. All kinds share one sequence, so an event handle is never a valid stream handle. */
inline uintptr_t issue_handle() {
  static std::atomic<uintptr_t> next{0x1000};
  return next.fetch_add(0x10);
}

/** The objects of one kind. A caller that holds an object keeps it alive after its removal. */
template <typename Object>
class Registry {
 public:
  uintptr_t add(std::shared_ptr<Object> object) {
    const uintptr_t handle = issue_handle();
    const std::lock_guard<std::mutex> lock(mutex_);
    objects_.emplace(handle, std::move(object));
    return handle;
  }

  /** Null if the handle is invalid. */
  std::shared_ptr<Object> find(uintptr_t handle) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = objects_.find(handle);
    return found == objects_.end() ? nullptr : found->second;
  }

  /** Null if the handle is invalid. */
  std::shared_ptr<Object> remove(uintptr_t handle) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = objects_.find(handle);
    if (found == objects_.end()) return nullptr;
    std::shared_ptr<Object> object = std::move(found->second);
    objects_.erase(found);
    return object;
  }

  template <typename Predicate>
  void remove_if(Predicate predicate) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto entry = objects_.begin(); entry != objects_.end();) {
      entry = predicate(*entry->second) ? objects_.erase(entry) : std::next(entry);
    }
  }

  uint64_t count() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return objects_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_map<uintptr_t, std::shared_ptr<Object>> objects_;
};

}  // namespace cuda_sim
