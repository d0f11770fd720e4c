#include "child.h"

#include <cstring>

namespace probe {

Child::Child(const char *driver_path)
    : driver(open_driver(driver_path)), exportable(static_cast<bool>(driver.cuMemExportToShareableHandle)) {
  constexpr size_t kPinnedBytes = 1 << 20;
  use_device(driver, 0);
  memory = create(driver, kBytes, exportable);
  other = create(driver, kBytes, false).address;
  require("cuMemHostAlloc", driver.cuMemHostAlloc(&pinned, kPinnedBytes, 0));
  require("cuStreamCreate", driver.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  require("fill", driver.cuMemsetD8Async(memory.address, kBefore, kBytes, stream));
  require("fill", driver.cuMemsetD8Async(other, kAfter, kBytes, stream));
  require("fill", wait());
  std::memset(pinned, kAfter, kPinnedBytes);
}

CUresult Child::launch(const char *kernel, CUdeviceptr address, uint64_t second) const {
  const CUfunction function = find_kernel(driver, kernel);
  if (function == nullptr) return CUDA_ERROR_NOT_FOUND;
  void *parameters[] = {&address, &second};
  return driver.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, stream, parameters, nullptr);
}

void Child::print(const char *what, CUresult result) const {
  std::printf("  %s=%s", what, describe(driver, result).c_str());
}

void Child::print_access(const char *what, CUdeviceptr address) const {
  const CUmemLocation location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
  unsigned long long flags = 99;
  const CUresult result = driver.cuMemGetAccess(&flags, &location, address);
  if (result == CUDA_SUCCESS) std::printf("  %s:access=%llu", what, flags);
  if (result != CUDA_SUCCESS) print(what, result);
}

}  // namespace probe
