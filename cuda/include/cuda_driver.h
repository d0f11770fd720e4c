/**
 * The part of the CUDA driver API that libvram calls and libcuda_sim exports: types, constants and signatures, so that
 * neither needs NVIDIA's header to be built. Names, values and layouts are the driver API's own (CUDA 13 reference);
 * `make gpu` proves them equal to cuda.h with static assertions (cuda/test/abi_check.cpp).
 *
 * Functions are named with the version that the driver exports, since a header's macros would pick another one.
 */
#ifndef VRAM_CUDA_DRIVER_H
#define VRAM_CUDA_DRIVER_H

#include <cstddef>
#include <cstdint>

namespace cu {

using Result = int;
using Device = int;
using DevicePtr = unsigned long long;
using Context = struct ContextObject *;
using Stream = struct StreamObject *;
using Event = struct EventObject *;
using Module = struct ModuleObject *;
using Function = struct FunctionObject *;
using AllocationHandle = unsigned long long;

constexpr Result kSuccess = 0;
constexpr Result kInvalidValue = 1;
constexpr Result kOutOfMemory = 2;
constexpr Result kNotInitialized = 3;
constexpr Result kDeinitialized = 4;
constexpr Result kNoDevice = 100;
constexpr Result kInvalidDevice = 101;
constexpr Result kInvalidImage = 200;
constexpr Result kInvalidContext = 201;
constexpr Result kNoBinaryForGpu = 209;
constexpr Result kInvalidHandle = 400;
constexpr Result kNotFound = 500;
constexpr Result kNotReady = 600;
constexpr Result kIllegalAddress = 700;
constexpr Result kLaunchOutOfResources = 701;
constexpr Result kLaunchFailed = 719;
constexpr Result kNotSupported = 801;
constexpr Result kUnknown = 999;

struct Uuid {
  unsigned char bytes[16];
};

enum DeviceAttribute : int {
  kAttributeMultiprocessorCount = 16,
  kAttributeComputeCapabilityMajor = 75,
  kAttributeComputeCapabilityMinor = 76,
  kAttributeVirtualMemoryManagementSupported = 102,
};

enum PointerAttribute : int {
  kPointerMemoryType = 2,
  kPointerHostPointer = 4,
  kPointerIsManaged = 8,
  kPointerDeviceOrdinal = 9,
};
enum MemoryType : unsigned { kMemoryTypeHost = 1, kMemoryTypeDevice = 2 };

enum AllocationType : int { kAllocationPinned = 1 };
enum LocationType : int { kLocationDevice = 1 };
enum AccessFlags : int { kAccessNone = 0, kAccessRead = 1, kAccessReadWrite = 3 };
enum GranularityFlags : int { kGranularityMinimum = 0 };

struct MemLocation {
  LocationType type;
  int id;
};
struct AllocationProp {
  AllocationType type;
  int requestedHandleTypes;
  MemLocation location;
  void *win32HandleMetaData;
  struct {
    unsigned char compressionType;
    unsigned char gpuDirectRDMACapable;
    unsigned short usage;
    unsigned char reserved[4];
  } allocFlags;
};
struct AccessDesc {
  MemLocation location;
  AccessFlags flags;
};

constexpr unsigned kStreamNonBlocking = 1;
constexpr unsigned kEventDisableTiming = 2;
constexpr unsigned kHostAllocPortable = 1;

}  // namespace cu

/**
 * Every driver function in one list, X(name, parameters): the loader's table, the simulator's exports and the tests
 * that fail each call in turn are made from it.
 */
#define VRAM_CUDA_FUNCTIONS(X)                                                                                        \
  X(cuInit, (unsigned flags))                                                                                         \
  X(cuDriverGetVersion, (int *version))                                                                               \
  X(cuGetErrorName, (cu::Result error, const char **name))                                                            \
  X(cuDeviceGetCount, (int *count))                                                                                   \
  X(cuDeviceGet, (cu::Device * device, int ordinal))                                                                  \
  X(cuDeviceGetName, (char *name, int bytes, cu::Device device))                                                      \
  X(cuDeviceGetUuid_v2, (cu::Uuid * uuid, cu::Device device))                                                         \
  X(cuDeviceTotalMem_v2, (size_t * bytes, cu::Device device))                                                         \
  X(cuDeviceGetAttribute, (int *value, cu::DeviceAttribute attribute, cu::Device device))                             \
  X(cuDevicePrimaryCtxRetain, (cu::Context * context, cu::Device device))                                             \
  X(cuDevicePrimaryCtxRelease_v2, (cu::Device device))                                                                \
  X(cuCtxSetCurrent, (cu::Context context))                                                                           \
  X(cuMemGetInfo_v2, (size_t * free_bytes, size_t * total_bytes))                                                     \
  X(cuMemGetAllocationGranularity, (size_t * bytes, const cu::AllocationProp *prop, cu::GranularityFlags option))     \
  X(cuMemCreate,                                                                                                      \
    (cu::AllocationHandle * handle, size_t bytes, const cu::AllocationProp *prop, unsigned long long flags))          \
  X(cuMemRelease, (cu::AllocationHandle handle))                                                                      \
  X(cuMemAddressReserve,                                                                                              \
    (cu::DevicePtr * address, size_t bytes, size_t alignment, cu::DevicePtr hint, unsigned long long flags))          \
  X(cuMemAddressFree, (cu::DevicePtr address, size_t bytes))                                                          \
  X(cuMemMap,                                                                                                         \
    (cu::DevicePtr address, size_t bytes, size_t offset, cu::AllocationHandle handle, unsigned long long flags))      \
  X(cuMemUnmap, (cu::DevicePtr address, size_t bytes))                                                                \
  X(cuMemSetAccess, (cu::DevicePtr address, size_t bytes, const cu::AccessDesc *desc, size_t count))                  \
  X(cuMemGetAccess, (unsigned long long *flags, const cu::MemLocation *location, cu::DevicePtr address))              \
  X(cuMemRetainAllocationHandle, (cu::AllocationHandle * handle, void *address))                                      \
  X(cuMemGetAllocationPropertiesFromHandle, (cu::AllocationProp * prop, cu::AllocationHandle handle))                 \
  X(cuPointerGetAttributes, (unsigned count, cu::PointerAttribute *attributes, void **values, cu::DevicePtr address)) \
  X(cuMemHostAlloc, (void **address, size_t bytes, unsigned flags))                                                   \
  X(cuMemFreeHost, (void *address))                                                                                   \
  X(cuMemcpyHtoDAsync_v2, (cu::DevicePtr destination, const void *source, size_t bytes, cu::Stream stream))           \
  X(cuMemcpyDtoHAsync_v2, (void *destination, cu::DevicePtr source, size_t bytes, cu::Stream stream))                 \
  X(cuMemsetD8Async, (cu::DevicePtr destination, unsigned char value, size_t bytes, cu::Stream stream))               \
  X(cuStreamCreate, (cu::Stream * stream, unsigned flags))                                                            \
  X(cuStreamDestroy_v2, (cu::Stream stream))                                                                          \
  X(cuStreamSynchronize, (cu::Stream stream))                                                                         \
  X(cuEventCreate, (cu::Event * event, unsigned flags))                                                               \
  X(cuEventDestroy_v2, (cu::Event event))                                                                             \
  X(cuEventRecord, (cu::Event event, cu::Stream stream))                                                              \
  X(cuEventSynchronize, (cu::Event event))                                                                            \
  X(cuModuleLoadData, (cu::Module * module, const void *image))                                                       \
  X(cuModuleUnload, (cu::Module module))                                                                              \
  X(cuModuleGetFunction, (cu::Function * function, cu::Module module, const char *name))                              \
  X(cuLaunchKernel,                                                                                                   \
    (cu::Function function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,    \
     unsigned block_z, unsigned shared_bytes, cu::Stream stream, void **parameters, void **extra))

#endif
