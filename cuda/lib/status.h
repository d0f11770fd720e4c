/** Converts CUresult to vram_status, which libvram also uses internally. */
#pragma once

#include "../include/cuda_driver.h"
#include "../include/vram.h"

/** Returns from the function if the status of the expression is not VRAM_OK. */
#define VRAM_TRY(expression)                                                          \
  do {                                                                                \
    if (const vram_status status_ = (expression); status_ != VRAM_OK) return status_; \
  } while (false)

namespace vram {

/** VRAM_OK for CUDA_SUCCESS, otherwise VRAM_DRIVER_ERROR_BASE + result. */
inline vram_status from_driver(CUresult result) {
  return result == CUDA_SUCCESS ? VRAM_OK : VRAM_DRIVER_ERROR_BASE + result;
}

/** The same for a call that allocates: `exhausted` for CUDA_ERROR_OUT_OF_MEMORY. */
inline vram_status from_driver(CUresult result, vram_status exhausted) {
  return result == CUDA_ERROR_OUT_OF_MEMORY ? exhausted : from_driver(result);
}

/** The first failure of two steps that both run. */
inline vram_status first_failure(vram_status earlier, vram_status later) {
  return earlier != VRAM_OK ? earlier : later;
}

/** Sets the driver's cuGetErrorName, for status_name(). The driver loaded last is used; drivers are never unloaded. */
void set_get_error_name(CUresult (*get_error_name)(CUresult, const char **));

/** See vram_status_name. */
const char *status_name(vram_status status);

}  // namespace vram
