/** The driver API: modules and the kernels in them. */
#include "call.h"

using namespace cuda_sim;

cu::Result cuModuleLoadData(cu::Module *module, const void *image) {
  return call_in_context("cuModuleLoadData", [&](Device &device) {
    if (module == nullptr || image == nullptr) return cu::kInvalidValue;
    std::unique_ptr<KernelImage> loaded;
    const cu::Result result = KernelImage::load(image, &loaded);
    if (result != cu::kSuccess) return result;
    auto owner = std::make_shared<LoadedModule>(LoadedModule{device, std::move(loaded)});
    *module = reinterpret_cast<cu::Module>(simulator().modules.add(std::move(owner)));
    return cu::kSuccess;
  });
}

cu::Result cuModuleUnload(cu::Module module) {
  return call_in_context("cuModuleUnload", [&](Device &) {
    const std::shared_ptr<LoadedModule> removed = simulator().modules.remove(number_of(module));
    if (removed == nullptr) return cu::kInvalidHandle;
    // Launches under way hold their kernel, and that the module.
    simulator().kernels.remove_if([&](const LoadedKernel &kernel) { return kernel.module == removed; });
    return cu::kSuccess;
  });
}

cu::Result cuModuleGetFunction(cu::Function *function, cu::Module module, const char *name) {
  return call_in_context("cuModuleGetFunction", [&](Device &) {
    if (function == nullptr || name == nullptr) return cu::kInvalidValue;
    const std::shared_ptr<LoadedModule> loaded = simulator().modules.find(number_of(module));
    if (loaded == nullptr) return cu::kInvalidHandle;
    const Kernel *kernel = loaded->image->find(name);
    if (kernel == nullptr) return cu::kNotFound;
    auto found = std::make_shared<LoadedKernel>(LoadedKernel{loaded, kernel});
    *function = reinterpret_cast<cu::Function>(simulator().kernels.add(std::move(found)));
    return cu::kSuccess;
  });
}
