/**
 * Compares include/cuda_driver.h with NVIDIA's cuda.h: the value of every constant, the size of every type, the offset
 * of every member, the parameters of every function. `make gpu` compiles it; there is nothing to run.
 */
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace ours {
#include "../include/cuda_driver.h"
}
// A macro ignores namespaces, so the value is kept before cuda.h defines the macro again.
constexpr unsigned kOurMemHostAllocPortable = CU_MEMHOSTALLOC_PORTABLE;
constexpr unsigned kOurMemHostRegisterPortable = CU_MEMHOSTREGISTER_PORTABLE;
#undef CU_MEMHOSTALLOC_PORTABLE

#include <cuda.h>

#define SAME_VALUE(constant)                                                                  \
  static_assert(static_cast<long long>(ours::constant) == static_cast<long long>(::constant), \
                #constant " has the value of cuda.h")
#define SAME_SIZE(type)                                                                         \
  static_assert(sizeof(ours::type) == sizeof(::type) && alignof(ours::type) == alignof(::type), \
                #type " has the size of cuda.h")
#define SAME_MEMBER(type, member)                                         \
  static_assert(offsetof(ours::type, member) == offsetof(::type, member), \
                #type "::" #member " has the offset of cuda.h");          \
  static_assert(sizeof(ours::type::member) == sizeof(::type::member), #type "::" #member " has the size of cuda.h")

SAME_VALUE(CUDA_SUCCESS);
SAME_VALUE(CUDA_ERROR_INVALID_VALUE);
SAME_VALUE(CUDA_ERROR_OUT_OF_MEMORY);
SAME_VALUE(CUDA_ERROR_NOT_INITIALIZED);
SAME_VALUE(CUDA_ERROR_DEINITIALIZED);
SAME_VALUE(CUDA_ERROR_NO_DEVICE);
SAME_VALUE(CUDA_ERROR_INVALID_DEVICE);
SAME_VALUE(CUDA_ERROR_INVALID_IMAGE);
SAME_VALUE(CUDA_ERROR_INVALID_CONTEXT);
SAME_VALUE(CUDA_ERROR_NO_BINARY_FOR_GPU);
SAME_VALUE(CUDA_ERROR_OPERATING_SYSTEM);
SAME_VALUE(CUDA_ERROR_INVALID_HANDLE);
SAME_VALUE(CUDA_ERROR_NOT_FOUND);
SAME_VALUE(CUDA_ERROR_NOT_READY);
SAME_VALUE(CUDA_ERROR_ILLEGAL_ADDRESS);
SAME_VALUE(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES);
SAME_VALUE(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
SAME_VALUE(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
SAME_VALUE(CUDA_ERROR_MISALIGNED_ADDRESS);
SAME_VALUE(CUDA_ERROR_LAUNCH_FAILED);
SAME_VALUE(CUDA_ERROR_NOT_SUPPORTED);
SAME_VALUE(CUDA_ERROR_UNKNOWN);

SAME_VALUE(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
SAME_VALUE(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
SAME_VALUE(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
SAME_VALUE(CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED);
SAME_VALUE(CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED);

SAME_VALUE(CU_POINTER_ATTRIBUTE_MEMORY_TYPE);
SAME_VALUE(CU_POINTER_ATTRIBUTE_HOST_POINTER);
SAME_VALUE(CU_POINTER_ATTRIBUTE_IS_MANAGED);
SAME_VALUE(CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL);
SAME_VALUE(CU_MEMORYTYPE_HOST);
SAME_VALUE(CU_MEMORYTYPE_DEVICE);

SAME_VALUE(CU_MEM_ALLOCATION_TYPE_PINNED);
SAME_VALUE(CU_MEM_HANDLE_TYPE_NONE);
SAME_VALUE(CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
SAME_VALUE(CU_MEM_LOCATION_TYPE_DEVICE);
SAME_VALUE(CU_MEM_ACCESS_FLAGS_PROT_NONE);
SAME_VALUE(CU_MEM_ACCESS_FLAGS_PROT_READ);
SAME_VALUE(CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
SAME_VALUE(CU_MEM_ALLOC_GRANULARITY_MINIMUM);

SAME_VALUE(CU_STREAM_NON_BLOCKING);
SAME_VALUE(CU_EVENT_BLOCKING_SYNC);
SAME_VALUE(CU_EVENT_DISABLE_TIMING);
SAME_VALUE(CU_CTX_SCHED_BLOCKING_SYNC);
static_assert(kOurMemHostAllocPortable == CU_MEMHOSTALLOC_PORTABLE, "CU_MEMHOSTALLOC_PORTABLE has the value of cuda.h");
static_assert(kOurMemHostRegisterPortable == CU_MEMHOSTREGISTER_PORTABLE, "CU_MEMHOSTREGISTER_PORTABLE has the value of cuda.h");

SAME_SIZE(CUresult);
SAME_SIZE(CUdevice);
SAME_SIZE(CUdeviceptr);
SAME_SIZE(CUcontext);
SAME_SIZE(CUstream);
SAME_SIZE(CUevent);
SAME_SIZE(CUmodule);
SAME_SIZE(CUfunction);
SAME_SIZE(CUmemGenericAllocationHandle);
SAME_SIZE(CUuuid);
SAME_SIZE(CUdevice_attribute);
SAME_SIZE(CUpointer_attribute);
SAME_SIZE(CUmemorytype);
SAME_SIZE(CUmemAllocationGranularity_flags);
SAME_SIZE(CUmemAllocationType);
SAME_SIZE(CUmemAllocationHandleType);
SAME_SIZE(CUmemLocationType);
SAME_SIZE(CUmemAccess_flags);
SAME_SIZE(CUstream_flags);
SAME_SIZE(CUevent_flags);
SAME_SIZE(CUctx_flags);

SAME_SIZE(CUmemLocation);
SAME_MEMBER(CUmemLocation, type);
SAME_MEMBER(CUmemLocation, id);
SAME_SIZE(CUmemAllocationProp);
SAME_MEMBER(CUmemAllocationProp, type);
SAME_MEMBER(CUmemAllocationProp, requestedHandleTypes);
SAME_MEMBER(CUmemAllocationProp, location);
SAME_MEMBER(CUmemAllocationProp, win32HandleMetaData);
SAME_MEMBER(CUmemAllocationProp, allocFlags);
SAME_SIZE(CUmemAccessDesc);
SAME_MEMBER(CUmemAccessDesc, location);
SAME_MEMBER(CUmemAccessDesc, flags);

namespace {

/** Whether two parameters have the same size, and both or neither is a pointer. */
template <typename Ours, typename Theirs>
constexpr bool passed_alike = sizeof(Ours) == sizeof(Theirs) && std::is_pointer_v<Ours> == std::is_pointer_v<Theirs>;

template <typename Ours, typename Theirs>
struct SameFunction;
template <typename... Ours, typename... Theirs>
struct SameFunction<ours::CUresult(Ours...), ::CUresult(Theirs...)> {
  static constexpr bool check() {
    if constexpr (sizeof...(Ours) != sizeof...(Theirs)) {
      return false;
    } else {
      return (passed_alike<Ours, Theirs> && ...);
    }
  }
};

}  // namespace

// A macro of cuda.h replaces an unversioned name by its newest version; the list names each version itself.
#define SAME_FUNCTION(name, parameters) \
  static_assert(SameFunction<CUresult parameters, decltype(::name)>::check(), #name " has the parameters of cuda.h");
namespace ours {
VRAM_CUDA_FUNCTIONS(SAME_FUNCTION)
}
