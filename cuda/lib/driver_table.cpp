#include "driver_table.h"

#include <dlfcn.h>

namespace vram {
namespace {

template <typename Function>
bool find(void *library, const char *name, Function &out_function) {
  out_function.set(reinterpret_cast<typename Function::Pointer>(dlsym(library, name)));
  return out_function.get() != nullptr;
}

}  // namespace

vram_status load_driver_table(const char *path, DriverTable *out_table) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return VRAM_DRIVER_NOT_FOUND;

  bool complete = true;
#define FIND(name, parameters) complete = find(library, #name, out_table->name) && complete;
  VRAM_CUDA_FUNCTIONS(FIND)
#undef FIND
  if (!complete) {
    dlclose(library);
    return VRAM_DRIVER_INCOMPLETE;
  }
  set_get_error_name(out_table->cuGetErrorName.get());
  return VRAM_OK;
}

}  // namespace vram
