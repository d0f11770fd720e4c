/** Latency injection: a delay before each stream operation, which exposes code that does not wait for the device. */
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string_view>

namespace cuda_sim {

class Latency {
 public:
  /** Sets the delay in microseconds; an empty text means 0. Returns false if the text is invalid. Ends current waits. */
  bool set(std::string_view text);

  /** Waits for the delay, or until set() changes it. */
  void wait();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::chrono::microseconds delay_{0};
  unsigned changes_ = 0;
};

}  // namespace cuda_sim
