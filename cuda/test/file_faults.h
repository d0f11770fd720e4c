/**
 * Failures of the file system on demand, for the whole process. A name of a file says what happens to calls on it:
 *
 *   hang-stat, hang-open, hang-read           the call does not return before the gate is removed
 *   fail-stat-N, fail-open-N, fail-read-N     the call fails with errno N
 *   delay-read-N                              each call takes N milliseconds longer
 *
 * The gate is the file that the environment variable VRAM_TEST_GATE names.
 *
 * `make build/file_faults.so` makes a library of the same code, for LD_PRELOAD.
 */
#pragma once

#include <string>

namespace test {

/** While it exists, calls that hang do not return. */
class Gate {
 public:
  explicit Gate(const std::string &path);
  ~Gate();
  Gate(const Gate &) = delete;
  Gate &operator=(const Gate &) = delete;

 private:
  const std::string path_;
};

/** Calls that wait for the gate now. */
int hanging_calls();

}  // namespace test
