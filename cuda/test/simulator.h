/** The driver under test, seen beside libvram: its own functions, and the simulator's controls where it has them. */
#pragma once

#include <cstdint>
#include <string>

#include "../include/cuda_driver.h"

namespace test {

/** The driver API of the library that libvram has loaded too. */
struct DriverFunctions {
#define FUNCTION(name, parameters) CUresult(*name) parameters = nullptr;
  VRAM_CUDA_FUNCTIONS(FUNCTION)
#undef FUNCTION
};
const DriverFunctions &driver_functions();

/** The controls of cuda/sim/control.h; everything is reset when it goes out of scope. Skips the test on a real driver.
 */
class Simulator {
 public:
  Simulator();
  ~Simulator();

  void set(const char *setting, const std::string &value) const;
  void reset() const;
  uint64_t calls(const char *function) const;
  uint64_t live(const char *creator) const;
};

}  // namespace test
