#include "latency.h"

#include "parse.h"

namespace cuda_sim {
namespace {

constexpr uint64_t kMaxMicroseconds = 3600ull * 1000 * 1000;

}  // namespace

bool Latency::set(std::string_view text) {
  const std::optional<uint64_t> delay = text.empty() ? 0 : parse_number(text);
  if (!delay || *delay > kMaxMicroseconds) return false;
  const std::lock_guard<std::mutex> lock(mutex_);
  delay_ = std::chrono::microseconds(*delay);
  ++changes_;
  changed_.notify_all();
  return true;
}

void Latency::wait() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (delay_.count() == 0) return;
  const unsigned before = changes_;
  changed_.wait_for(lock, delay_, [&] { return changes_ != before; });
}

}  // namespace cuda_sim
