/** Who is inside the driver, and since when: a call that never returns can only be seen from outside. */
#pragma once

#include <cstdint>

namespace vram {

/** Notes, for as long as it lives, that this thread is inside the driver. They do not nest. */
class DriverCall {
 public:
  DriverCall();
  ~DriverCall();
  DriverCall(const DriverCall &) = delete;
  DriverCall &operator=(const DriverCall &) = delete;
};

/** When the call that has been under way longest began, in nanoseconds of the monotonic clock; 0 where none is. */
uint64_t oldest_driver_call();

}  // namespace vram
