/** A process that asks the driver questions, and prints each answer on the same line. */
#pragma once

#include "../driver.h"

namespace probe {

class Asker {
 public:
  /** Opens device 0. `kernels_path` is the module of the tree kernel. */
  Asker(const char *driver_path, const char *kernels_path);

  void say(const char *what, CUresult result) const;
  void say_value(const char *what, unsigned long long value) const;
  /** What cuMemGetAccess returns for an address. */
  void say_access(const char *what, CUdeviceptr address, int device = 0) const;
  /** What cuPointerGetAttributes returns for an address. */
  void say_attributes(const char *what, CUdeviceptr address) const;

  CUresult wait() const { return driver.cuStreamSynchronize(stream); }
  CUresult copy_in(CUdeviceptr address, size_t bytes) const;
  CUresult copy_out(CUdeviceptr address, size_t bytes) const;
  size_t free_bytes() const;
  CUdeviceptr reserve(size_t bytes) const;
  CUmemGenericAllocationHandle take(size_t bytes) const;
  /** Maps new memory of the same size to each range of `bytes` bytes, without access. */
  void map_each(CUdeviceptr address, size_t count, size_t bytes) const;

  CUmodule load() const;
  CUfunction tree_level(CUmodule module) const;
  CUresult launch(CUfunction function, CUdeviceptr in, uint64_t bytes, CUdeviceptr out, unsigned grid,
                  unsigned block) const;
  /** Writes to read-only memory with the tree kernel, which destroys the context. */
  void destroy_context() const;

  Driver driver;
  CUstream stream = nullptr;
  void *pinned = nullptr;

 private:
  const char *const kernels_path_;
};

}  // namespace probe
