/** The driver's functions, found by name in a library that was named at run time. libvram is linked with no driver. */
#pragma once

#include "../include/cuda_driver.h"
#include "driver_watchdog.h"
#include "status.h"

namespace vram {

template <typename Signature>
class DriverFunction;

/** One function of the driver. Every call of it is watched by driver_watchdog.h. */
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
};

/**
 * Loads the library and fills the table. VRAM_DRIVER_NOT_FOUND where it can't be loaded, VRAM_DRIVER_INCOMPLETE where
 * it lacks a function. The library stays loaded until the process ends: a driver keeps threads that outlive any handle.
 */
vram_status load_driver_table(const char *path, DriverTable *out_table);

}  // namespace vram
