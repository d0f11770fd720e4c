/** The CUDA driver API, looked up by name in a library given by path. A probe calls it without libvram. */
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

#include "../include/cuda_driver.h"

namespace probe {

/** Driver functions that libvram does not call. The simulator lacks most of them. */
// clang-format off
#define PROBE_CUDA_FUNCTIONS(X)                                                                          \
  X(cuCtxSynchronize, ())                                                                                \
  X(cuMemAlloc_v2, (CUdeviceptr *address, size_t bytes))                                                 \
  X(cuMemFree_v2, (CUdeviceptr address))                                                                 \
  X(cuMemcpyHtoD_v2, (CUdeviceptr destination, const void *source, size_t bytes))                        \
  X(cuMemcpyDtoH_v2, (void *destination, CUdeviceptr source, size_t bytes))                              \
  X(cuMemcpyDtoD_v2, (CUdeviceptr destination, CUdeviceptr source, size_t bytes))                        \
  X(cuMemcpyDtoDAsync_v2, (CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream))  \
  X(cuMemcpy, (CUdeviceptr destination, CUdeviceptr source, size_t bytes))                               \
  X(cuMemsetD8_v2, (CUdeviceptr destination, unsigned char value, size_t bytes))                         \
  X(cuMemsetD32_v2, (CUdeviceptr destination, unsigned value, size_t words))                             \
  X(cuStreamWriteValue32_v2, (CUstream stream, CUdeviceptr address, uint32_t value, unsigned flags))     \
  X(cuStreamCreateWithPriority, (CUstream *stream, unsigned flags, int priority))                        \
  X(cuEventElapsedTime, (float *milliseconds, CUevent start, CUevent end))
// clang-format on

/** A function of the driver. A call of a missing one returns CUDA_ERROR_NOT_FOUND. */
template <typename Signature>
struct Function;
template <typename... Parameters>
struct Function<CUresult(Parameters...)> {
  CUresult (*pointer)(Parameters...) = nullptr;
  explicit operator bool() const { return pointer != nullptr; }
  CUresult operator()(Parameters... arguments) const {
    return pointer != nullptr ? pointer(arguments...) : CUDA_ERROR_NOT_FOUND;
  }
};

struct Driver {
#define FUNCTION(name, parameters) Function<CUresult parameters> name;
  VRAM_CUDA_FUNCTIONS(FUNCTION)
  PROBE_CUDA_FUNCTIONS(FUNCTION)
#undef FUNCTION
};

/** Loads the driver's library and initializes it. Exits with 2 if it cannot. */
Driver open_driver(const char *path);
/** Retains the primary context of a device and makes it current. Exits with 2 if it cannot. */
void use_device(const Driver &driver, int device);

/** Exits with 2 unless the result is CUDA_SUCCESS. */
void require(const char *what, CUresult result);

/** The exit status of a probe that cannot run with this driver. */
constexpr int kSkipped = 77;
/** Exits with kSkipped and prints the reason. */
[[noreturn]] void skip(const std::string &reason);

/** Bytes of memory that a probe may take: nine tenths of the free memory, in whole granules. */
size_t usable_bytes(const Driver &driver);

/** "700 CUDA_ERROR_ILLEGAL_ADDRESS" */
std::string describe(const Driver &driver, CUresult result);

/** Loads the module in a file next to the program and finds a kernel. Returns null if the driver refuses it. */
CUfunction find_kernel(const Driver &driver, const char *kernel);

/** Device memory by the virtual memory functions, as libvram takes it. Never released: the process ends. */
struct Memory {
  CUmemGenericAllocationHandle handle = 0;
  CUdeviceptr address = 0;
  size_t bytes = 0;
};
constexpr size_t kGranule = size_t{2} << 20;

CUmemAllocationProp properties(bool exportable);
Memory create(const Driver &driver, size_t bytes, bool exportable);
/** Maps memory at a new address, without access. */
Memory map(const Driver &driver, CUmemGenericAllocationHandle handle, size_t bytes);
CUresult set_access(const Driver &driver, CUdeviceptr address, size_t bytes, CUmemAccess_flags access);

}  // namespace probe
