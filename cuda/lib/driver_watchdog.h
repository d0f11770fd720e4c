/** Detects driver calls that hang. A call that never returns can only be seen from another thread. */
#pragma once

#include <cstdint>

namespace vram {

/** Marks this thread as inside the driver while the object exists. Must not be nested. */
class DriverCall {
 public:
  DriverCall();
  ~DriverCall();
  DriverCall(const DriverCall &) = delete;
  DriverCall &operator=(const DriverCall &) = delete;
};

/** When the longest running call started, in nanoseconds of the monotonic clock; 0 if no call is running. */
uint64_t oldest_driver_call();

}  // namespace vram
