/**
 * Holds include/cuda_driver.h against NVIDIA's cuda.h: every constant, the size of every type, the offset of every
 * member, the parameters of every function. Compiled by `make gpu`; there is nothing to run.
 */
#include <cuda.h>

#include <cstddef>
#include <type_traits>

#include "../include/cuda_driver.h"

#define SAME_VALUE(ours, theirs) \
  static_assert(static_cast<long long>(ours) == static_cast<long long>(theirs), #ours " is " #theirs)
#define SAME_SIZE(ours, theirs) \
  static_assert(sizeof(ours) == sizeof(theirs) && alignof(ours) == alignof(theirs), #ours " is laid out as " #theirs)
#define SAME_MEMBER(ours, theirs, member)                                                               \
  static_assert(offsetof(ours, member) == offsetof(theirs, member), #ours "::" #member " is in place"); \
  static_assert(sizeof(ours::member) == sizeof(theirs::member), #ours "::" #member " is as large")

SAME_VALUE(cu::kSuccess, CUDA_SUCCESS);
SAME_VALUE(cu::kInvalidValue, CUDA_ERROR_INVALID_VALUE);
SAME_VALUE(cu::kOutOfMemory, CUDA_ERROR_OUT_OF_MEMORY);
SAME_VALUE(cu::kNotInitialized, CUDA_ERROR_NOT_INITIALIZED);
SAME_VALUE(cu::kDeinitialized, CUDA_ERROR_DEINITIALIZED);
SAME_VALUE(cu::kNoDevice, CUDA_ERROR_NO_DEVICE);
SAME_VALUE(cu::kInvalidDevice, CUDA_ERROR_INVALID_DEVICE);
SAME_VALUE(cu::kInvalidImage, CUDA_ERROR_INVALID_IMAGE);
SAME_VALUE(cu::kInvalidContext, CUDA_ERROR_INVALID_CONTEXT);
SAME_VALUE(cu::kNoBinaryForGpu, CUDA_ERROR_NO_BINARY_FOR_GPU);
SAME_VALUE(cu::kInvalidHandle, CUDA_ERROR_INVALID_HANDLE);
SAME_VALUE(cu::kNotFound, CUDA_ERROR_NOT_FOUND);
SAME_VALUE(cu::kNotReady, CUDA_ERROR_NOT_READY);
SAME_VALUE(cu::kIllegalAddress, CUDA_ERROR_ILLEGAL_ADDRESS);
SAME_VALUE(cu::kLaunchOutOfResources, CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
SAME_VALUE(cu::kLaunchFailed, CUDA_ERROR_LAUNCH_FAILED);
SAME_VALUE(cu::kNotSupported, CUDA_ERROR_NOT_SUPPORTED);
SAME_VALUE(cu::kUnknown, CUDA_ERROR_UNKNOWN);

SAME_VALUE(cu::kAttributeMultiprocessorCount, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
SAME_VALUE(cu::kAttributeComputeCapabilityMajor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
SAME_VALUE(cu::kAttributeComputeCapabilityMinor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
SAME_VALUE(cu::kAttributeVirtualMemoryManagementSupported, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED);

SAME_VALUE(cu::kPointerMemoryType, CU_POINTER_ATTRIBUTE_MEMORY_TYPE);
SAME_VALUE(cu::kPointerHostPointer, CU_POINTER_ATTRIBUTE_HOST_POINTER);
SAME_VALUE(cu::kPointerIsManaged, CU_POINTER_ATTRIBUTE_IS_MANAGED);
SAME_VALUE(cu::kPointerDeviceOrdinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL);
SAME_VALUE(cu::kMemoryTypeHost, CU_MEMORYTYPE_HOST);
SAME_VALUE(cu::kMemoryTypeDevice, CU_MEMORYTYPE_DEVICE);

SAME_VALUE(cu::kAllocationPinned, CU_MEM_ALLOCATION_TYPE_PINNED);
SAME_VALUE(cu::kLocationDevice, CU_MEM_LOCATION_TYPE_DEVICE);
SAME_VALUE(cu::kAccessNone, CU_MEM_ACCESS_FLAGS_PROT_NONE);
SAME_VALUE(cu::kAccessRead, CU_MEM_ACCESS_FLAGS_PROT_READ);
SAME_VALUE(cu::kAccessReadWrite, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
SAME_VALUE(cu::kGranularityMinimum, CU_MEM_ALLOC_GRANULARITY_MINIMUM);

SAME_VALUE(cu::kStreamNonBlocking, CU_STREAM_NON_BLOCKING);
SAME_VALUE(cu::kEventDisableTiming, CU_EVENT_DISABLE_TIMING);
SAME_VALUE(cu::kHostAllocPortable, CU_MEMHOSTALLOC_PORTABLE);

SAME_SIZE(cu::Result, CUresult);
SAME_SIZE(cu::Device, CUdevice);
SAME_SIZE(cu::DevicePtr, CUdeviceptr);
SAME_SIZE(cu::Context, CUcontext);
SAME_SIZE(cu::Stream, CUstream);
SAME_SIZE(cu::Event, CUevent);
SAME_SIZE(cu::Module, CUmodule);
SAME_SIZE(cu::Function, CUfunction);
SAME_SIZE(cu::AllocationHandle, CUmemGenericAllocationHandle);
SAME_SIZE(cu::Uuid, CUuuid);
SAME_SIZE(cu::DeviceAttribute, CUdevice_attribute);
SAME_SIZE(cu::PointerAttribute, CUpointer_attribute);
SAME_SIZE(cu::MemoryType, CUmemorytype);
SAME_SIZE(cu::GranularityFlags, CUmemAllocationGranularity_flags);

SAME_SIZE(cu::MemLocation, CUmemLocation);
SAME_MEMBER(cu::MemLocation, CUmemLocation, type);
SAME_MEMBER(cu::MemLocation, CUmemLocation, id);
SAME_SIZE(cu::AllocationProp, CUmemAllocationProp);
SAME_MEMBER(cu::AllocationProp, CUmemAllocationProp, type);
SAME_MEMBER(cu::AllocationProp, CUmemAllocationProp, requestedHandleTypes);
SAME_MEMBER(cu::AllocationProp, CUmemAllocationProp, location);
SAME_MEMBER(cu::AllocationProp, CUmemAllocationProp, win32HandleMetaData);
SAME_MEMBER(cu::AllocationProp, CUmemAllocationProp, allocFlags);
SAME_SIZE(cu::AccessDesc, CUmemAccessDesc);
SAME_MEMBER(cu::AccessDesc, CUmemAccessDesc, location);
SAME_MEMBER(cu::AccessDesc, CUmemAccessDesc, flags);

namespace {

/** Two parameters are passed alike when they are of one size and both, or neither, pointers. */
template <typename Ours, typename Theirs>
constexpr bool passed_alike = sizeof(Ours) == sizeof(Theirs) && std::is_pointer_v<Ours> == std::is_pointer_v<Theirs>;

template <typename Ours, typename Theirs>
struct SameFunction;
template <typename... Ours, typename... Theirs>
struct SameFunction<cu::Result(Ours...), CUresult(Theirs...)> {
  static constexpr bool check() {
    if constexpr (sizeof...(Ours) != sizeof...(Theirs)) {
      return false;
    } else {
      return (passed_alike<Ours, Theirs> && ...);
    }
  }
};

}  // namespace

// cuda.h's macros lead an unversioned name to the version that the headers are for; the list names versions itself.
#define SAME_FUNCTION(name, parameters) \
  static_assert(SameFunction<cu::Result parameters, decltype(::name)>::check(), #name " takes what cuda.h says");
VRAM_CUDA_FUNCTIONS(SAME_FUNCTION)
