/** Clocks and statistics of the probes. */
#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <vector>

namespace probe {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/** Whether a run only shows that a probe works: less data and fewer rounds. Its figures are meaningless. */
inline bool is_quick() {
  return std::getenv("PROBE_QUICK") != nullptr;
}

/** Processor time of all threads of this process. */
inline double cpu_seconds() {
  rusage usage = {};
  (void)getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval &time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/** The value below which a share of the values lies. */
inline double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(static_cast<double>(values.size()) * share))];
}

}  // namespace probe
