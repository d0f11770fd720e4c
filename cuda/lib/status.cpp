#include "status.h"

#include <atomic>

namespace vram {
namespace {

using GetErrorName = CUresult (*)(CUresult, const char **);
std::atomic<GetErrorName> driver_get_error_name{nullptr};

const char *driver_status_name(CUresult result) {
  const GetErrorName get_error_name = driver_get_error_name.load();
  const char *name = nullptr;
  if (get_error_name != nullptr && get_error_name(result, &name) == CUDA_SUCCESS && name != nullptr) return name;
  return "CUDA_ERROR_UNRECOGNIZED";
}

}  // namespace

void set_get_error_name(GetErrorName get_error_name) {
  driver_get_error_name.store(get_error_name);
}

const char *status_name(vram_status status) {
  switch (status) {
#define NAME(constant) \
  case constant:       \
    return #constant;
    NAME(VRAM_OK)
    NAME(VRAM_NULL_ARGUMENT)
    NAME(VRAM_BAD_HANDLE)
    NAME(VRAM_STALE_HANDLE)
    NAME(VRAM_BAD_DEVICE)
    NAME(VRAM_ZERO_LENGTH)
    NAME(VRAM_OVERFLOW)
    NAME(VRAM_OUT_OF_BOUNDS)
    NAME(VRAM_TOO_LARGE)
    NAME(VRAM_UNALIGNED)
    NAME(VRAM_BUFFER_TOO_SMALL)
    NAME(VRAM_OUT_OF_MEMORY)
    NAME(VRAM_HOST_OUT_OF_MEMORY)
    NAME(VRAM_SEALED)
    NAME(VRAM_NOT_SEALED)
    NAME(VRAM_BUSY)
    NAME(VRAM_LOAD_OVERRUN)
    NAME(VRAM_LOAD_INCOMPLETE)
    NAME(VRAM_FILE_TOO_SHORT)
    NAME(VRAM_FILE_ERROR)
    NAME(VRAM_POLICY_VIOLATION)
    NAME(VRAM_UNSUPPORTED_DEVICE)
    NAME(VRAM_DRIVER_NOT_FOUND)
    NAME(VRAM_DRIVER_INCOMPLETE)
    NAME(VRAM_KERNELS_NOT_FOUND)
    NAME(VRAM_INTERNAL)
    NAME(VRAM_SOCKET_CLOSED)
    NAME(VRAM_FILE_DIFFERS)
    NAME(VRAM_DIRECTORY_ERROR)
    NAME(VRAM_NOT_A_FILE)
    NAME(VRAM_FILE_BUSY)
    NAME(VRAM_HOST_OUT_OF_THREADS)
    NAME(VRAM_DRIVER_TOO_OLD)
    NAME(VRAM_NOT_EXPORTABLE)
    NAME(VRAM_NOT_EXPORTED)
    NAME(VRAM_WOULD_BLOCK)
    NAME(VRAM_LOAD_OVERLAP)
    NAME(VRAM_LOAD_IN_ORDER)
#undef NAME
    default:
      return status > VRAM_DRIVER_ERROR_BASE
                 ? driver_status_name(static_cast<CUresult>(status - VRAM_DRIVER_ERROR_BASE))
                 : "VRAM_UNKNOWN";
  }
}

}  // namespace vram
