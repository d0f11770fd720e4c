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
   * Loads an image, whose length its own headers tell. kNoBinaryForGpu for code of real GPUs (PTX, cubin, fatbin) and
   * for shared objects that hold no kernels, kInvalidImage for what is no code at all.
   */
  static CUresult load(const void *image, std::unique_ptr<KernelImage> *out_image);
  ~KernelImage();
  KernelImage(const KernelImage &) = delete;
  KernelImage &operator=(const KernelImage &) = delete;

  /** Null where the module has no kernel of that name. */
  const Kernel *find(std::string_view name) const;

 private:
  KernelImage(int file, void *library) : file_(file), library_(library) {}

  const int file_;
  void *const library_;
  const KernelModule *module_ = nullptr;
};

}  // namespace cuda_sim
