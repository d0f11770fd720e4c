#include "driver.h"

#include <dlfcn.h>
#include <unistd.h>

#include <fstream>
#include <iterator>

namespace probe {

Driver open_driver(const char *path) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    std::exit(2);
  }
  Driver driver;
#define FIND(name, parameters) \
  driver.name.pointer = reinterpret_cast<decltype(driver.name.pointer)>(dlsym(library, #name));
  VRAM_CUDA_FUNCTIONS(FIND)
  PROBE_CUDA_FUNCTIONS(FIND)
#undef FIND
  require("cuInit", driver.cuInit(0));
  return driver;
}

void use_device(const Driver &driver, int device) {
  CUcontext context = nullptr;
  require("cuDevicePrimaryCtxRetain", driver.cuDevicePrimaryCtxRetain(&context, device));
  require("cuCtxSetCurrent", driver.cuCtxSetCurrent(context));
}

void require(const char *what, CUresult result) {
  if (result == CUDA_SUCCESS) return;
  std::fprintf(stderr, "%s: CUresult %d\n", what, result);
  std::exit(2);
}

void skip(const std::string &reason) {
  std::printf("skipped: %s\n", reason.c_str());
  std::fflush(stdout);
  std::exit(kSkipped);
}

size_t usable_bytes(const Driver &driver) {
  size_t free_bytes = 0, total_bytes = 0;
  require("cuMemGetInfo", driver.cuMemGetInfo_v2(&free_bytes, &total_bytes));
  return free_bytes / 10 * 9 / kGranule * kGranule;
}

std::string describe(const Driver &driver, CUresult result) {
  if (result == CUDA_SUCCESS) return "0";
  const char *name = nullptr;
  (void)driver.cuGetErrorName(result, &name);
  return std::to_string(result) + " " + (name != nullptr ? name : "unknown");
}

CUfunction find_kernel(const Driver &driver, const char *kernel) {
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  if (length <= 0) return nullptr;
  const std::string program(path, static_cast<size_t>(length));
  std::ifstream file(program.substr(0, program.rfind('/') + 1) + "kernels.ptx", std::ios::binary);
  const std::string image{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  CUmodule module = nullptr;
  CUfunction function = nullptr;
  if (image.empty() || driver.cuModuleLoadData(&module, image.c_str()) != CUDA_SUCCESS) return nullptr;
  return driver.cuModuleGetFunction(&function, module, kernel) == CUDA_SUCCESS ? function : nullptr;
}

CUmemAllocationProp properties(bool exportable) {
  CUmemAllocationProp prop = {};
  prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  prop.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
  if (exportable) prop.requestedHandleTypes = static_cast<CUmemAllocationHandleType>(1);  // POSIX_FILE_DESCRIPTOR
  return prop;
}

Memory create(const Driver &driver, size_t bytes, bool exportable) {
  const CUmemAllocationProp prop = properties(exportable);
  CUmemGenericAllocationHandle handle = 0;
  require("cuMemCreate", driver.cuMemCreate(&handle, bytes, &prop, 0));
  const Memory memory = map(driver, handle, bytes);
  require("cuMemSetAccess", set_access(driver, memory.address, bytes, CU_MEM_ACCESS_FLAGS_PROT_READWRITE));
  return memory;
}

Memory map(const Driver &driver, CUmemGenericAllocationHandle handle, size_t bytes) {
  Memory memory = {handle, 0, bytes};
  require("cuMemAddressReserve", driver.cuMemAddressReserve(&memory.address, bytes, 0, 0, 0));
  require("cuMemMap", driver.cuMemMap(memory.address, bytes, 0, handle, 0));
  return memory;
}

CUresult set_access(const Driver &driver, CUdeviceptr address, size_t bytes, CUmemAccess_flags access) {
  const CUmemAccessDesc desc = {{CU_MEM_LOCATION_TYPE_DEVICE, 0}, access};
  return driver.cuMemSetAccess(address, bytes, &desc, 1);
}

}  // namespace probe
