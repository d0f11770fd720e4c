/** A lock that many may hold together, or one alone; whoever wants it alone is let in before those who come later. */
#pragma once

#include <mutex>
#include <shared_mutex>

namespace vram {

class Gate {
 public:
  using Shared = std::shared_lock<std::shared_mutex>;
  using Exclusive = std::unique_lock<std::shared_mutex>;

  Shared share() {
    const std::lock_guard<std::mutex> queue(turnstile_);
    return Shared(mutex_);
  }

  Exclusive close() {
    // Held while waiting for the others to leave, so that no stream of short visits can keep the closer out for ever.
    const std::lock_guard<std::mutex> queue(turnstile_);
    return Exclusive(mutex_);
  }

 private:
  std::mutex turnstile_;
  std::shared_mutex mutex_;
};

}  // namespace vram
