/** Driver API functions that share memory between processes. */
#include <fcntl.h>

#include "call.h"

using namespace cuda_sim;

CUresult cuMemExportToShareableHandle(void *shareable_handle, CUmemGenericAllocationHandle handle,
                                      CUmemAllocationHandleType type, unsigned long long flags) {
  return call("cuMemExportToShareableHandle", [&] {
    const std::shared_ptr<Allocation> allocation = simulator().allocations.find(handle);
    if (shareable_handle == nullptr || allocation == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR || !allocation->is_shared()) return CUDA_ERROR_INVALID_VALUE;
    const int descriptor = fcntl(allocation->file(), F_DUPFD_CLOEXEC, 0);
    if (descriptor < 0) return CUDA_ERROR_OPERATING_SYSTEM;
    *static_cast<int *>(shareable_handle) = descriptor;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle *handle, void *os_handle,
                                        CUmemAllocationHandleType type) {
  return call("cuMemImportFromShareableHandle", [&] {
    const auto descriptor = reinterpret_cast<intptr_t>(os_handle);
    if (handle == nullptr || type != CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) return CUDA_ERROR_INVALID_VALUE;
    if (descriptor < 0 || descriptor > INT32_MAX) return CUDA_ERROR_INVALID_VALUE;
    std::shared_ptr<Allocation> allocation;
    const CUresult imported =
        simulator().shared_allocations.import(static_cast<int>(descriptor), simulator().devices(), &allocation);
    if (imported == CUDA_SUCCESS) *handle = simulator().allocations.add(std::move(allocation));
    return imported;
  });
}
