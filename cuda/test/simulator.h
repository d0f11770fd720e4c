/** Direct access to the driver that libvram has loaded: its functions, and the simulator's controls if it has any. */
#pragma once

#include <cstdint>
#include <string>

#include "../include/cuda_driver.h"

namespace test {

/** The driver functions of the library that libvram has loaded. */
struct DriverFunctions {
#define FUNCTION(name, parameters) CUresult(*name) parameters = nullptr;
  VRAM_CUDA_FUNCTIONS(FUNCTION)
#undef FUNCTION
};
const DriverFunctions &driver_functions();

/** Whether the driver under test is the simulator. */
bool is_simulated();

/** The controls in cuda/sim/control.h. Skips the test on a real driver. The destructor resets all controls. */
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
