/** The driver's functions, looked up by name at run time. libvram links no CUDA library. */
#pragma once

#include "../include/cuda_driver.h"
#include "driver_watchdog.h"
#include "status.h"

namespace vram {

template <typename Signature>
class DriverFunction;

/** One function of the driver. driver_watchdog.h watches each call. */
template <typename... Parameters>
class DriverFunction<CUresult(Parameters...)> {
 public:
  using Pointer = CUresult (*)(Parameters...);

  void set(Pointer pointer) { pointer_ = pointer; }
  Pointer get() const { return pointer_; }

  CUresult operator()(Parameters... arguments) const {
    const DriverCall call;
    return pointer_(arguments...);
  }

 private:
  Pointer pointer_ = nullptr;
};

struct DriverTable {
#define FUNCTION(name, parameters) DriverFunction<CUresult parameters> name;
  VRAM_CUDA_FUNCTIONS(FUNCTION)
#undef FUNCTION
  /** The first version of cuDeviceGetUuid_v2. Under MIG it returns the UUID of the whole GPU. Null if missing. */
  DriverFunction<CUresult(CUuuid *uuid, CUdevice device)> cuDeviceGetUuid;
  /** Whether the library exports the simulator's controls, which no CUDA driver has. */
  bool is_simulator = false;
};

/**
 * Loads the library and fills the table. VRAM_DRIVER_NOT_FOUND if it cannot be loaded, VRAM_DRIVER_INCOMPLETE if it
 * lacks a function. The library is never unloaded, because a driver's threads outlive every handle.
 */
vram_status load_driver_table(const char *path, DriverTable *out_table);

}  // namespace vram
