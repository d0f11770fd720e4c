/** A shared mutex that grants its locks in the order of the calls, so that neither readers nor writers starve. */
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <shared_mutex>

namespace vram {

/**
 * Meets the standard's SharedMutex requirements. try_lock() and try_lock_shared() never wait, and fail only if a lock is held
 * that excludes theirs, or if an earlier call waits.
 */
class FairSharedMutex {
 public:
  void lock() {
    std::unique_lock<std::mutex> lock(mutex_);
    wait_for_turn(lock, [this] { return !writing_ && readers_ == 0; });
    writing_ = true;
  }
  bool try_lock() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (writing_ || readers_ != 0 || has_queue()) return false;
    writing_ = true;
    return true;
  }
  void unlock() {
    const std::lock_guard<std::mutex> lock(mutex_);
    writing_ = false;
    if (has_queue()) changed_.notify_all();
  }

  void lock_shared() {
    std::unique_lock<std::mutex> lock(mutex_);
    wait_for_turn(lock, [this] { return !writing_; });
    ++readers_;
  }
  bool try_lock_shared() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (writing_ || has_queue()) return false;
    ++readers_;
    return true;
  }
  void unlock_shared() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (--readers_ == 0 && has_queue()) changed_.notify_all();
  }

 private:
  bool has_queue() const { return next_ != served_; }

  /** Waits for all earlier calls, then for may_enter(). The lock is held when it returns. */
  template <typename MayEnter>
  void wait_for_turn(std::unique_lock<std::mutex> &lock, MayEnter may_enter) {
    const uint64_t turn = next_++;
    changed_.wait(lock, [&] { return served_ == turn && may_enter(); });
    ++served_;
    if (has_queue()) changed_.notify_all();
  }

  std::mutex mutex_;  // held for a few instructions; guards the fields below
  std::condition_variable changed_;
  uint64_t next_ = 0;    // the turn of the next call
  uint64_t served_ = 0;  // the turn of the call that enters next
  uint64_t readers_ = 0;
  bool writing_ = false;
};

using SharedLock = std::shared_lock<FairSharedMutex>;
using ExclusiveLock = std::unique_lock<FairSharedMutex>;

}  // namespace vram
