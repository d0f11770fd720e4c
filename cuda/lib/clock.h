/** The clock of deadlines inside the process. */
#pragma once

#include <time.h>

#include <cstdint>

namespace vram {

/** CLOCK_MONOTONIC in nanoseconds. Async-signal-safe, as clock_gettime(2) is. */
inline uint64_t monotonic_ns() {
  constexpr uint64_t kNsPerSecond = 1'000'000'000;
  timespec now = {};
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * kNsPerSecond + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace vram
