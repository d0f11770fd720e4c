/** How the library says what went wrong: vram_status inside and out, made from a driver's answer in one place. */
#pragma once

#include "../include/cuda_driver.h"
#include "../include/vram.h"

/** Leaves the function with the status of an expression that is not VRAM_OK. */
#define VRAM_TRY(expression)                                                          \
  do {                                                                                \
    if (const vram_status status_ = (expression); status_ != VRAM_OK) return status_; \
  } while (false)

namespace vram {

/** VRAM_OK for CUDA_SUCCESS, VRAM_DRIVER_ERROR_BASE + result for anything else. */
inline vram_status from_driver(CUresult result) {
  return result == CUDA_SUCCESS ? VRAM_OK : VRAM_DRIVER_ERROR_BASE + result;
}

/** The same for a call that takes memory: `exhausted` where the driver has none left. */
inline vram_status from_driver(CUresult result, vram_status exhausted) {
  return result == CUDA_ERROR_OUT_OF_MEMORY ? exhausted : from_driver(result);
}

/** What is remembered when several steps are tried whatever becomes of the others: the first failure. */
inline vram_status first_failure(vram_status earlier, vram_status later) {
  return earlier != VRAM_OK ? earlier : later;
}

/** Names of driver errors are the driver's; the one that was loaded last is asked. It is never unloaded. */
void name_driver_errors_by(CUresult (*get_error_name)(CUresult, const char **));

const char *status_name(vram_status status);

}  // namespace vram
