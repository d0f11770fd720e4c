#include "driver_table.h"

#include <dlfcn.h>

#include <initializer_list>

namespace vram {
namespace {

template <typename Function>
bool find(void *library, const char *name, Function &out_function) {
  out_function.set(reinterpret_cast<typename Function::Pointer>(dlsym(library, name)));
  return out_function.get() != nullptr;
}

/** Reads the file, whose file system can hang as a driver call can. */
void *open_library(const char *path) {
  const DriverCall call;
  return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

}  // namespace

vram_status load_driver_table(const char *path, DriverTable *out_table) {
  void *library = open_library(path);
  if (library == nullptr) return VRAM_DRIVER_NOT_FOUND;

  bool complete = true;
#define FIND(name, parameters) complete = find(library, #name, out_table->name) && complete;
  VRAM_CUDA_FUNCTIONS(FIND)
#undef FIND
  if (!complete) {
    dlclose(library);
    return VRAM_DRIVER_INCOMPLETE;
  }
  (void)find(library, "cuDeviceGetUuid", out_table->cuDeviceGetUuid);
  for (const char *control : {"cuSimSet", "cuSimCalls", "cuSimReset", "cuSimLive"}) {
    if (dlsym(library, control) != nullptr) out_table->is_simulator = true;
  }
  set_get_error_name(out_table->cuGetErrorName.get());
  return VRAM_OK;
}

}  // namespace vram
