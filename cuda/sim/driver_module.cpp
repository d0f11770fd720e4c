/** Driver API functions for modules and kernels. */
#include "call.h"

using namespace cuda_sim;

CUresult cuModuleLoadData(CUmodule *module, const void *image) {
  return call_in_context("cuModuleLoadData", [&](Device &device) {
    if (module == nullptr || image == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::unique_ptr<KernelImage> loaded;
    const CUresult result = KernelImage::load(image, &loaded);
    if (result != CUDA_SUCCESS) return result;
    auto owner = std::make_shared<LoadedModule>(LoadedModule{device, std::move(loaded)});
    *module = reinterpret_cast<CUmodule>(simulator().modules.add(std::move(owner)));
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleUnload(CUmodule module) {
  return call_in_context("cuModuleUnload", [&](Device &) {
    const std::shared_ptr<LoadedModule> removed = simulator().modules.remove(handle_value(module));
    if (removed == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    // A launch in progress holds its kernel, and the kernel holds the module.
    simulator().kernels.remove_if([&](const LoadedKernel &kernel) { return kernel.module == removed; });
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
  return call_in_context("cuModuleGetFunction", [&](Device &) {
    if (function == nullptr || name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const std::shared_ptr<LoadedModule> loaded = simulator().modules.find(handle_value(module));
    if (loaded == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const Kernel *kernel = loaded->image->find(name);
    if (kernel == nullptr) return CUDA_ERROR_NOT_FOUND;
    auto found = std::make_shared<LoadedKernel>(LoadedKernel{loaded, kernel});
    *function = reinterpret_cast<CUfunction>(simulator().kernels.add(std::move(found)));
    return CUDA_SUCCESS;
  });
}
