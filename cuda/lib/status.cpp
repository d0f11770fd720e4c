#include "status.h"

#include <atomic>

namespace vram {
namespace {

struct StatusName {
  vram_status status;
  const char *name;
};

#define NAMED(constant) \
  { constant, #constant }
constexpr StatusName kStatusNames[] = {
    NAMED(VRAM_OK),
    NAMED(VRAM_NULL_ARGUMENT),
    NAMED(VRAM_BAD_HANDLE),
    NAMED(VRAM_STALE_HANDLE),
    NAMED(VRAM_BAD_DEVICE),
    NAMED(VRAM_ZERO_LENGTH),
    NAMED(VRAM_OVERFLOW),
    NAMED(VRAM_OUT_OF_BOUNDS),
    NAMED(VRAM_TOO_LARGE),
    NAMED(VRAM_UNALIGNED),
    NAMED(VRAM_BUFFER_TOO_SMALL),
    NAMED(VRAM_OUT_OF_MEMORY),
    NAMED(VRAM_HOST_OUT_OF_MEMORY),
    NAMED(VRAM_SEALED),
    NAMED(VRAM_NOT_SEALED),
    NAMED(VRAM_BUSY),
    NAMED(VRAM_LOAD_OVERRUN),
    NAMED(VRAM_LOAD_INCOMPLETE),
    NAMED(VRAM_FILE_TOO_SHORT),
    NAMED(VRAM_FILE_ERROR),
    NAMED(VRAM_POLICY_VIOLATION),
    NAMED(VRAM_UNSUPPORTED_DEVICE),
    NAMED(VRAM_DRIVER_NOT_FOUND),
    NAMED(VRAM_DRIVER_INCOMPLETE),
    NAMED(VRAM_KERNELS_NOT_FOUND),
    NAMED(VRAM_INTERNAL),
    NAMED(VRAM_SOCKET_CLOSED),
    NAMED(VRAM_FILE_DIFFERS),
    NAMED(VRAM_DIRECTORY_ERROR),
    NAMED(VRAM_NOT_A_FILE),
    NAMED(VRAM_FILE_BUSY),
    NAMED(VRAM_HOST_OUT_OF_THREADS),
    NAMED(VRAM_DRIVER_TOO_OLD),
    NAMED(VRAM_NOT_EXPORTABLE),
    NAMED(VRAM_NOT_EXPORTED),
    NAMED(VRAM_WOULD_BLOCK),
    NAMED(VRAM_LOAD_OVERLAP),
    NAMED(VRAM_LOAD_IN_ORDER),
};
#undef NAMED

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
  if (status > VRAM_DRIVER_ERROR_BASE) return driver_status_name(static_cast<CUresult>(status - VRAM_DRIVER_ERROR_BASE));
  for (const StatusName &known : kStatusNames)
    if (known.status == status) return known.name;
  return "VRAM_UNKNOWN";
}

}  // namespace vram
