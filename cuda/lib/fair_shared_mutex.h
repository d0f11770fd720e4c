/** A shared mutex that does not starve writers: lock() goes before every lock_shared() that is called later. */
#pragma once

#include <mutex>
#include <shared_mutex>

namespace vram {

/** Meets the standard's SharedMutex requirements, apart from try_lock and try_lock_shared. */
class FairSharedMutex {
 public:
  void lock() {
    // Held while waiting, so that later readers queue behind this writer.
    const std::lock_guard<std::mutex> queue(queue_mutex_);
    mutex_.lock();
  }
  void unlock() { mutex_.unlock(); }

  void lock_shared() {
    const std::lock_guard<std::mutex> queue(queue_mutex_);
    mutex_.lock_shared();
  }
  void unlock_shared() { mutex_.unlock_shared(); }

 private:
  std::mutex queue_mutex_;
  std::shared_mutex mutex_;
};

using SharedLock = std::shared_lock<FairSharedMutex>;
using ExclusiveLock = std::unique_lock<FairSharedMutex>;

}  // namespace vram
