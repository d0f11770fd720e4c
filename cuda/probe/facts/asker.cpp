#include "asker.h"

#include <fstream>
#include <iterator>

#include "../../kernels/tree_level.h"

namespace probe {

Asker::Asker(const char *driver_path, const char *kernels_path)
    : driver(open_driver(driver_path)), kernels_path_(kernels_path) {
  use_device(driver, 0);
  require("cuStreamCreate", driver.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  require("cuMemHostAlloc", driver.cuMemHostAlloc(&pinned, 4 * kGranule, 0));
}

void Asker::say(const char *what, CUresult result) const {
  std::printf("  %s=%s", what, describe(driver, result).c_str());
  std::fflush(stdout);
}

void Asker::say_value(const char *what, unsigned long long value) const {
  std::printf("  %s:%llu", what, value);
  std::fflush(stdout);
}

void Asker::say_access(const char *what, CUdeviceptr address, int device) const {
  const CUmemLocation location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
  unsigned long long flags = 99;
  const CUresult result = driver.cuMemGetAccess(&flags, &location, address);
  if (result == CUDA_SUCCESS) say_value(what, flags);
  if (result != CUDA_SUCCESS) say(what, result);
}

void Asker::say_attributes(const char *what, CUdeviceptr address) const {
  unsigned memory_type = 77;
  unsigned managed = 0x77777777;
  void *host = reinterpret_cast<void *>(0x77);
  int ordinal = 77;
  CUpointer_attribute names[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_HOST_POINTER,
                                 CU_POINTER_ATTRIBUTE_IS_MANAGED, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL};
  void *values[] = {&memory_type, &host, &managed, &ordinal};
  say(what, driver.cuPointerGetAttributes(4, names, values, address));
  const char *const host_name = host == nullptr ? "null" : (host == pinned ? "itself" : "other");
  std::printf(" type %u, host %s, managed %x, ordinal %d", memory_type, host_name, managed, ordinal);
}

CUresult Asker::copy_in(CUdeviceptr address, size_t bytes) const {
  return driver.cuMemcpyHtoDAsync_v2(address, pinned, bytes, stream);
}

CUresult Asker::copy_out(CUdeviceptr address, size_t bytes) const {
  return driver.cuMemcpyDtoHAsync_v2(pinned, address, bytes, stream);
}

size_t Asker::free_bytes() const {
  size_t free = 0, total = 0;
  require("cuMemGetInfo", driver.cuMemGetInfo_v2(&free, &total));
  return free;
}

CUdeviceptr Asker::reserve(size_t bytes) const {
  CUdeviceptr address = 0;
  require("reserve", driver.cuMemAddressReserve(&address, bytes, 0, 0, 0));
  return address;
}

CUmemGenericAllocationHandle Asker::take(size_t bytes) const {
  const CUmemAllocationProp prop = properties(false);
  CUmemGenericAllocationHandle handle = 0;
  require("cuMemCreate", driver.cuMemCreate(&handle, bytes, &prop, 0));
  return handle;
}

void Asker::map_each(CUdeviceptr address, size_t count, size_t bytes) const {
  for (size_t i = 0; i < count; ++i) require("map", driver.cuMemMap(address + i * bytes, bytes, 0, take(bytes), 0));
}

CUmodule Asker::load() const {
  std::ifstream file(kernels_path_, std::ios::binary);
  const std::string image{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  CUmodule module = nullptr;
  require("cuModuleLoadData", driver.cuModuleLoadData(&module, image.c_str()));
  return module;
}

CUfunction Asker::tree_level(CUmodule module) const {
  CUfunction function = nullptr;
  require("function", driver.cuModuleGetFunction(&function, module, vram::tree_level::kKernelName));
  return function;
}

CUresult Asker::launch(CUfunction function, CUdeviceptr in, uint64_t bytes, CUdeviceptr out, unsigned grid,
                       unsigned block) const {
  void *parameters[] = {&in, &bytes, &out};
  return driver.cuLaunchKernel(function, grid, 1, 1, block, 1, 1, 0, stream, parameters, nullptr);
}

void Asker::destroy_context() const {
  const Memory memory = create(driver, kGranule, false);
  require("seal", set_access(driver, memory.address, kGranule, CU_MEM_ACCESS_FLAGS_PROT_READ));
  const CUresult launched = launch(tree_level(load()), memory.address, 4096, memory.address, 1, 64);
  say("launch", launched);
  say("wait", wait());
}

}  // namespace probe
