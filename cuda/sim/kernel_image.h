/** A module of kernels compiled for the host (kernels/shim/kernel_module.h), loaded from memory. */
#pragma once

#include <memory>
#include <string_view>

#include "../include/cuda_driver.h"
#include "../kernels/shim/kernel_module.h"

namespace cuda_sim {

class KernelImage {
 public:
  /**
   * Loads an image, whose ELF headers give its length. CUDA_ERROR_NO_BINARY_FOR_GPU for GPU code (PTX, cubin, fatbin)
   * and for a shared object without kernels. CUDA_ERROR_INVALID_IMAGE for anything else.
   */
  static CUresult load(const void *image, std::unique_ptr<KernelImage> *out_image);
  ~KernelImage();
  KernelImage(const KernelImage &) = delete;
  KernelImage &operator=(const KernelImage &) = delete;

  /** Null if the module has no kernel with this name. */
  const Kernel *find(std::string_view name) const;

 private:
  KernelImage(int file, void *library) : file_(file), library_(library) {}

  const int file_;
  void *const library_;
  const KernelModule *module_ = nullptr;
};

}  // namespace cuda_sim
