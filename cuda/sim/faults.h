/** Faults on demand: the Nth call of a driver function returns what it is told to, or never, and does nothing else. */
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "../include/cuda_driver.h"

namespace cuda_sim {

class Faults {
 public:
  /**
   * Replaces the rules by "function:N=error,function:N+=error,…": the Nth call from now on fails once, with a `+` it
   * and every later one. Function `*` counts the calls of all. With `hang` for an error the call does not return while
   * the rules stand. False for anything else, and nothing has changed. Ends the calls that hang.
   */
  bool set(std::string_view text);

  /** Forgets the rules and the counts of calls. Ends the calls that hang. */
  void reset();

  /** Counts a call of a function; the error that it must return, or CUDA_SUCCESS. One that hung failed:
   * CUDA_ERROR_UNKNOWN. */
  CUresult enter(const char *function);

  /** Calls of a function since the last reset; of all functions for "*". */
  uint64_t calls(std::string_view function) const;

 private:
  struct Rule {
    std::string function;
    uint64_t nth;
    bool for_good;
    std::optional<CUresult> error; /* none: the call hangs */
    uint64_t seen;
  };

  void replace(std::vector<Rule> rules);

  mutable std::mutex mutex_;
  std::condition_variable replaced_;
  uint64_t generation_ = 0; /* of the rules */
  std::vector<Rule> rules_;
  std::unordered_map<std::string, uint64_t> calls_;
};

}  // namespace cuda_sim
