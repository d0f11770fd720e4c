/** The driver's functions, found by name in a library that was named at run time. libvram is linked with no driver. */
#pragma once

#include "../include/cuda_driver.h"
#include "status.h"

namespace vram {

struct DriverTable {
#define FUNCTION(name, parameters) cu::Result(*name) parameters = nullptr;
  VRAM_CUDA_FUNCTIONS(FUNCTION)
#undef FUNCTION
};

/**
 * Loads the library and fills the table. VRAM_DRIVER_NOT_FOUND where it can't be loaded, VRAM_DRIVER_INCOMPLETE where
 * it lacks a function. The library stays loaded until the process ends: a driver keeps threads that outlive any handle.
 */
vram_status load_driver_table(const char *path, DriverTable *out_table);

}  // namespace vram
