/** Fault injection: the Nth call of a driver function returns a given error or hangs, and has no other effect. */
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
   * Replaces the rules with "function:N=error,function:N+=error,…". The Nth call from now on fails; with `+`, later
   * calls fail too. The function `*` means all functions. The error `hang` blocks the call until the rules change.
   * Returns false, without an effect, if the text is invalid. Otherwise hanging calls return.
   */
  bool set(std::string_view text);

  /**
   * Delays the present rules until the Nth call of a function, given as "function:N". They count the calls after it.
   * Returns false, without an effect, if the text is invalid.
   */
  bool delay_until(std::string_view text);

  /** Clears the rules and the call counts. Hanging calls return. */
  void reset();

  /** Counts a call. Returns the error to inject or CUDA_SUCCESS; after a hang, CUDA_ERROR_UNKNOWN. */
  CUresult on_call(const char *function);

  /** Calls of a function since the last reset. "*" counts all functions. */
  uint64_t calls(std::string_view function) const;

 private:
  struct Start {
    std::string function;
    uint64_t calls; /* still to come */
  };
  struct Rule {
    std::string function;
    uint64_t nth;
    bool is_persistent;
    std::optional<CUresult> error; /* empty: the call hangs */
    uint64_t seen;
  };

  /** Parses "function:N=error"; see set(). Empty if the text is invalid. */
  static std::optional<Rule> parse_rule(std::string_view text);
  /** Requires the lock. */
  void replace(std::vector<Rule> rules);

  mutable std::mutex mutex_;
  std::condition_variable replaced_;
  uint64_t generation_ = 0; /* changes with the rules */
  std::vector<Rule> rules_;
  std::optional<Start> start_; /* empty: the rules apply */
  std::unordered_map<std::string, uint64_t> calls_;
};

}  // namespace cuda_sim
