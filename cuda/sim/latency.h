/** A delay before each operation of a stream, so that what must wait for it can be told from what does not. */
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string_view>

namespace cuda_sim {

class Latency {
 public:
  /** Sets the delay, a number of microseconds; empty for none. False for anything else. Ends the waits under way. */
  bool set(std::string_view text);

  /** Waits for as long as the delay says, or until it is set anew. */
  void wait();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::chrono::microseconds delay_{0};
  unsigned changes_ = 0;
};

}  // namespace cuda_sim
