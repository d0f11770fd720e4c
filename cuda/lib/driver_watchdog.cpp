#include "driver_watchdog.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <vector>

namespace vram {
namespace {

using Entered = std::atomic<uint64_t>;

struct Threads {
  std::mutex mutex;
  std::vector<const Entered *> entered;
};

Threads &threads() {
  // Never destroyed: at exit other threads may still be inside a call.
  static auto *const instance = new Threads();
  return *instance;
}

/** When this thread entered the driver, or 0. Registered for other threads while this thread exists. */
class ThisThread {
 public:
  ThisThread() {
    const std::lock_guard<std::mutex> lock(threads().mutex);
    threads().entered.push_back(&entered_);
  }
  ~ThisThread() {
    const std::lock_guard<std::mutex> lock(threads().mutex);
    auto &all = threads().entered;
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

uint64_t now_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

}  // namespace

DriverCall::DriverCall() {
  this_thread().set_entered(now_ns());
}

DriverCall::~DriverCall() {
  this_thread().set_entered(0);
}

uint64_t oldest_driver_call() {
  const std::lock_guard<std::mutex> lock(threads().mutex);
  uint64_t oldest = 0;
  for (const Entered *each : threads().entered) {
    const uint64_t entered = each->load(std::memory_order_relaxed);
    if (entered != 0 && (oldest == 0 || entered < oldest)) oldest = entered;
  }
  return oldest;
}

}  // namespace vram
