/**
 * The part of the CUDA driver API that libvram and libvram_attach call, and that libcuda_sim exports.
 * The names, values and layouts are those of NVIDIA's cuda.h (CUDA 13), so neither library needs that header to build.
 *
 * `make gpu` compares this file with cuda.h (cuda/test/abi_check.cpp). The two cannot be included in one namespace.
 * Functions have the name that the driver exports, such as cuMemGetInfo_v2, which cuda.h hides behind a macro.
 */
#ifndef VRAM_CUDA_DRIVER_H
#define VRAM_CUDA_DRIVER_H

#include <cstddef>
#include <cstdint>

typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef unsigned long long CUmemGenericAllocationHandle;
typedef struct CUctx_st *CUcontext;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;

/** The driver may return values that are not listed here: the fixed underlying type makes them valid. */
typedef enum cudaError_enum : int {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_INVALID_VALUE = 1,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_NOT_INITIALIZED = 3,
  CUDA_ERROR_DEINITIALIZED = 4,
  CUDA_ERROR_NO_DEVICE = 100,
  CUDA_ERROR_INVALID_DEVICE = 101,
  CUDA_ERROR_INVALID_IMAGE = 200,
  CUDA_ERROR_INVALID_CONTEXT = 201,
  CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
  CUDA_ERROR_OPERATING_SYSTEM = 304,
  CUDA_ERROR_INVALID_HANDLE = 400,
  CUDA_ERROR_NOT_FOUND = 500,
  CUDA_ERROR_NOT_READY = 600,
  CUDA_ERROR_ILLEGAL_ADDRESS = 700,
  CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES = 701,
  CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED = 712,
  CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED = 713,
  CUDA_ERROR_MISALIGNED_ADDRESS = 716,
  CUDA_ERROR_LAUNCH_FAILED = 719,
  CUDA_ERROR_NOT_SUPPORTED = 801,
  CUDA_ERROR_UNKNOWN = 999,
} CUresult;

typedef struct CUuuid_st {
  char bytes[16];
} CUuuid;

typedef enum CUdevice_attribute_enum : int {
  CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
  CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76,
  CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED = 102,
  CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED = 103,
} CUdevice_attribute;

typedef enum CUpointer_attribute_enum : int {
  CU_POINTER_ATTRIBUTE_MEMORY_TYPE = 2,
  CU_POINTER_ATTRIBUTE_HOST_POINTER = 4,
  CU_POINTER_ATTRIBUTE_IS_MANAGED = 8,
  CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL = 9,
} CUpointer_attribute;

typedef enum CUmemorytype_enum : unsigned { CU_MEMORYTYPE_HOST = 1, CU_MEMORYTYPE_DEVICE = 2 } CUmemorytype;

typedef enum CUmemAllocationType_enum : int { CU_MEM_ALLOCATION_TYPE_PINNED = 1 } CUmemAllocationType;
typedef enum CUmemAllocationHandleType_enum : int {
  CU_MEM_HANDLE_TYPE_NONE = 0,
  CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR = 1,
} CUmemAllocationHandleType;
typedef enum CUmemLocationType_enum : int { CU_MEM_LOCATION_TYPE_DEVICE = 1 } CUmemLocationType;
typedef enum CUmemAllocationGranularity_flags_enum : int {
  CU_MEM_ALLOC_GRANULARITY_MINIMUM = 0,
} CUmemAllocationGranularity_flags;
typedef enum CUmemAccess_flags_enum : int {
  CU_MEM_ACCESS_FLAGS_PROT_NONE = 0,
  CU_MEM_ACCESS_FLAGS_PROT_READ = 1,
  CU_MEM_ACCESS_FLAGS_PROT_READWRITE = 3,
} CUmemAccess_flags;

typedef struct CUmemLocation_st {
  CUmemLocationType type;
  int id;
} CUmemLocation;

typedef struct CUmemAllocationProp_st {
  CUmemAllocationType type;
  CUmemAllocationHandleType requestedHandleTypes;
  CUmemLocation location;
  void *win32HandleMetaData;
  struct {
    unsigned char compressionType;
    unsigned char gpuDirectRDMACapable;
    unsigned short usage;
    unsigned char reserved[4];
  } allocFlags;
} CUmemAllocationProp;

typedef struct CUmemAccessDesc_st {
  CUmemLocation location;
  CUmemAccess_flags flags;
} CUmemAccessDesc;

typedef enum CUstream_flags_enum : unsigned { CU_STREAM_NON_BLOCKING = 1 } CUstream_flags;
typedef enum CUevent_flags_enum : unsigned { CU_EVENT_BLOCKING_SYNC = 1, CU_EVENT_DISABLE_TIMING = 2 } CUevent_flags;
typedef enum CUctx_flags_enum : unsigned { CU_CTX_SCHED_BLOCKING_SYNC = 4 } CUctx_flags;
#define CU_MEMHOSTALLOC_PORTABLE 0x01
#define CU_MEMHOSTREGISTER_PORTABLE 0x01

// clang-format off
/**
 * Every driver function as X(name, parameters). Each returns a CUresult. This list generates the loader's table, the
 * simulator's exports and the tests that fail each call in turn.
 */
#define VRAM_CUDA_FUNCTIONS(X)                                                                                         \
  X(cuInit, (unsigned flags))                                                                                          \
  X(cuDriverGetVersion, (int *version))                                                                                \
  X(cuGetErrorName, (CUresult error, const char **name))                                                               \
  X(cuDeviceGetCount, (int *count))                                                                                    \
  X(cuDeviceGet, (CUdevice *device, int ordinal))                                                                      \
  X(cuDeviceGetName, (char *name, int bytes, CUdevice device))                                                         \
  X(cuDeviceGetUuid_v2, (CUuuid *uuid, CUdevice device))                                                               \
  X(cuDeviceTotalMem_v2, (size_t *bytes, CUdevice device))                                                             \
  X(cuDeviceGetAttribute, (int *value, CUdevice_attribute attribute, CUdevice device))                                 \
  X(cuDevicePrimaryCtxSetFlags_v2, (CUdevice device, unsigned flags))                                                  \
  X(cuDevicePrimaryCtxRetain, (CUcontext *context, CUdevice device))                                                   \
  X(cuDevicePrimaryCtxRelease_v2, (CUdevice device))                                                                   \
  X(cuCtxSetCurrent, (CUcontext context))                                                                              \
  X(cuCtxGetCurrent, (CUcontext *context))                                                                             \
  X(cuCtxGetDevice, (CUdevice *device))                                                                                \
  X(cuMemGetInfo_v2, (size_t *free_bytes, size_t *total_bytes))                                                        \
  X(cuMemGetAllocationGranularity,                                                                                     \
    (size_t *bytes, const CUmemAllocationProp *prop, CUmemAllocationGranularity_flags option))                         \
  X(cuMemCreate,                                                                                                       \
    (CUmemGenericAllocationHandle *handle, size_t bytes, const CUmemAllocationProp *prop, unsigned long long flags))   \
  X(cuMemRelease, (CUmemGenericAllocationHandle handle))                                                               \
  X(cuMemAddressReserve,                                                                                               \
    (CUdeviceptr *address, size_t bytes, size_t alignment, CUdeviceptr hint, unsigned long long flags))                \
  X(cuMemAddressFree, (CUdeviceptr address, size_t bytes))                                                             \
  X(cuMemMap,                                                                                                          \
    (CUdeviceptr address, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle, unsigned long long flags)) \
  X(cuMemUnmap, (CUdeviceptr address, size_t bytes))                                                                   \
  X(cuMemSetAccess, (CUdeviceptr address, size_t bytes, const CUmemAccessDesc *desc, size_t count))                    \
  X(cuMemGetAccess, (unsigned long long *flags, const CUmemLocation *location, CUdeviceptr address))                   \
  X(cuMemRetainAllocationHandle, (CUmemGenericAllocationHandle *handle, void *address))                                \
  X(cuMemGetAllocationPropertiesFromHandle, (CUmemAllocationProp *prop, CUmemGenericAllocationHandle handle))          \
  X(cuMemExportToShareableHandle, (void *shareable_handle, CUmemGenericAllocationHandle handle,                        \
                                   CUmemAllocationHandleType type, unsigned long long flags))                          \
  X(cuMemImportFromShareableHandle,                                                                                    \
    (CUmemGenericAllocationHandle *handle, void *os_handle, CUmemAllocationHandleType type))                           \
  X(cuPointerGetAttributes, (unsigned count, CUpointer_attribute *attributes, void **values, CUdeviceptr address))     \
  X(cuMemHostAlloc, (void **address, size_t bytes, unsigned flags))                                                    \
  X(cuMemFreeHost, (void *address))                                                                                    \
  X(cuMemHostRegister_v2, (void *address, size_t bytes, unsigned flags))                                               \
  X(cuMemHostUnregister, (void *address))                                                                              \
  X(cuMemcpyHtoDAsync_v2, (CUdeviceptr destination, const void *source, size_t bytes, CUstream stream))                \
  X(cuMemcpyDtoHAsync_v2, (void *destination, CUdeviceptr source, size_t bytes, CUstream stream))                      \
  X(cuMemsetD8Async, (CUdeviceptr destination, unsigned char value, size_t bytes, CUstream stream))                    \
  X(cuStreamCreate, (CUstream *stream, unsigned flags))                                                                \
  X(cuStreamDestroy_v2, (CUstream stream))                                                                             \
  X(cuStreamSynchronize, (CUstream stream))                                                                            \
  X(cuEventCreate, (CUevent *event, unsigned flags))                                                                   \
  X(cuEventDestroy_v2, (CUevent event))                                                                                \
  X(cuEventRecord, (CUevent event, CUstream stream))                                                                   \
  X(cuEventSynchronize, (CUevent event))                                                                               \
  X(cuModuleLoadData, (CUmodule *module, const void *image))                                                           \
  X(cuModuleUnload, (CUmodule module))                                                                                 \
  X(cuModuleGetFunction, (CUfunction *function, CUmodule module, const char *name))                                    \
  X(cuLaunchKernel,                                                                                                    \
    (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,       \
     unsigned block_z, unsigned shared_bytes, CUstream stream, void **parameters, void **extra))
// clang-format on

#endif
