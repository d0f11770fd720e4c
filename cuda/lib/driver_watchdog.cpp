#include "driver_watchdog.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <vector>

#include "clock.h"

namespace vram {
namespace {

using Entered = std::atomic<uint64_t>;

struct Threads {
  std::mutex mutex;
  std::vector<const Entered *> entered;
};

Threads &registered_threads() {
  // Never destroyed: at exit other threads may still be inside a call.
  static auto *const instance = new Threads();
  return *instance;
}

/** When this thread entered the driver, or 0. Registered for other threads while this thread exists. */
class ThisThread {
 public:
  ThisThread() {
    const std::lock_guard<std::mutex> lock(registered_threads().mutex);
    registered_threads().entered.push_back(&entered_);
  }
  ~ThisThread() {
    const std::lock_guard<std::mutex> lock(registered_threads().mutex);
    auto &all = registered_threads().entered;
    all.erase(std::find(all.begin(), all.end(), &entered_));
  }
  ThisThread(const ThisThread &) = delete;
  ThisThread &operator=(const ThisThread &) = delete;

  void set_entered(uint64_t entered) { entered_.store(entered, std::memory_order_relaxed); }

 private:
  Entered entered_{0};
};

ThisThread &this_thread() {
  thread_local ThisThread instance;
  return instance;
}

}  // namespace

DriverCall::DriverCall() {
  this_thread().set_entered(monotonic_ns());
}

DriverCall::~DriverCall() {
  this_thread().set_entered(0);
}

uint64_t oldest_driver_call() {
  const std::lock_guard<std::mutex> lock(registered_threads().mutex);
  uint64_t oldest = 0;
  for (const Entered *each : registered_threads().entered) {
    const uint64_t entered = each->load(std::memory_order_relaxed);
    if (entered != 0 && (oldest == 0 || entered < oldest)) oldest = entered;
  }
  return oldest;
}

}  // namespace vram
