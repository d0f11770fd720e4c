/**
 * Measures a CUDA device's copy rates without libvram, in GB/s (10^9 bytes): pinned host memory to device, and device to
 * device. A device copy of n bytes reads n and writes n, and counts as n. Loads the driver at run time.
 *
 *     device_rates [libcuda.so.1]
 */
#include <dlfcn.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "../../cuda/include/cuda_driver.h"

namespace {

constexpr size_t kBytes = size_t{256} << 20;
constexpr int kCopies = 16;

void check(const char *what, CUresult result) {
  if (result == CUDA_SUCCESS) return;
  std::fprintf(stderr, "device_rates: %s: CUresult %d\n", what, result);
  std::exit(2);
}

template <typename Function>
Function *find(void *driver, const char *name) {
  void *symbol = dlsym(driver, name);
  if (symbol != nullptr) return reinterpret_cast<Function *>(symbol);
  std::fprintf(stderr, "device_rates: missing driver function %s\n", name);
  std::exit(2);
}

/** Returns the rate in GB/s of kCopies queued copies, after one warm-up round. */
template <typename Copy, typename Wait>
double rate_of(Copy copy, Wait wait) {
  double seconds = 0;
  for (int round = 0; round < 2; ++round) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kCopies; ++i) check("copy", copy());
    check("cuStreamSynchronize", wait());
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  return static_cast<double>(kBytes) * kCopies / seconds / 1e9;
}

}  // namespace

int main(int count, char **arguments) {
  void *driver = dlopen(count > 1 ? arguments[1] : "libcuda.so.1", RTLD_NOW);
  if (driver == nullptr) {
    std::fprintf(stderr, "device_rates: %s\n", dlerror());
    return 2;
  }
  CUcontext context = nullptr;
  CUstream stream = nullptr;
  CUdeviceptr from = 0;
  CUdeviceptr to = 0;
  void *host = nullptr;
  const auto allocate = find<CUresult(CUdeviceptr *, size_t)>(driver, "cuMemAlloc_v2");
  const auto host_to_device =
      find<CUresult(CUdeviceptr, const void *, size_t, CUstream)>(driver, "cuMemcpyHtoDAsync_v2");
  const auto device_to_device =
      find<CUresult(CUdeviceptr, CUdeviceptr, size_t, CUstream)>(driver, "cuMemcpyDtoDAsync_v2");
  const auto synchronize = find<CUresult(CUstream)>(driver, "cuStreamSynchronize");

  check("cuInit", find<CUresult(unsigned)>(driver, "cuInit")(0));
  check("cuDevicePrimaryCtxRetain",
        find<CUresult(CUcontext *, CUdevice)>(driver, "cuDevicePrimaryCtxRetain")(&context, 0));
  check("cuCtxSetCurrent", find<CUresult(CUcontext)>(driver, "cuCtxSetCurrent")(context));
  check("cuStreamCreate", find<CUresult(CUstream *, unsigned)>(driver, "cuStreamCreate")(&stream, 1));
  check("cuMemAlloc", allocate(&from, kBytes));
  check("cuMemAlloc", allocate(&to, kBytes));
  check("cuMemHostAlloc", find<CUresult(void **, size_t, unsigned)>(driver, "cuMemHostAlloc")(&host, kBytes, 0));

  const auto wait = [&] { return synchronize(stream); };
  const double down = rate_of([&] { return host_to_device(from, host, kBytes, stream); }, wait);
  const double across = rate_of([&] { return device_to_device(to, from, kBytes, stream); }, wait);
  std::printf("{\"host_to_device_gb_per_s\": %.2f, \"device_to_device_gb_per_s\": %.2f}\n", down, across);
}
