/** The CUDA driver of this process, loaded by path. */
#pragma once

#include <memory>
#include <string>

#include "../../../cuda/include/cuda_driver.h"
#include "failure.h"

namespace vram_attach {

class Driver {
 public:
  /** Loads the library, which stays loaded, and initializes it. Throws VRAM_ATTACH_DRIVER_NOT_FOUND or _ERROR. */
  explicit Driver(const std::string &path);

#define FUNCTION(name, parameters) CUresult(*name) parameters = nullptr;
  VRAM_CUDA_FUNCTIONS(FUNCTION)
#undef FUNCTION

  /** Throws VRAM_ATTACH_DRIVER_ERROR unless the result is CUDA_SUCCESS. */
  void check(CUresult result, const char *function) const;

  /** The ordinal of the device with a UUID, "GPU-…" or "MIG-…". Throws VRAM_ATTACH_DEVICE_NOT_FOUND. */
  int device_of(const std::string &uuid) const;
  /** The 32 hexadecimal digits of a device's UUID, in five groups. */
  std::string uuid_of(int device) const;
};

/**
 * Makes a context of a device current, unless the thread's own is one. Then it is the device's primary context, which
 * stays retained as long as this object exists.
 */
class DeviceContext {
 public:
  DeviceContext(const Driver &driver, int device);
  ~DeviceContext();
  DeviceContext(const DeviceContext &) = delete;
  DeviceContext &operator=(const DeviceContext &) = delete;

  /** Gives the thread back what it had. A thread without a context must not keep one that is released later. */
  void restore();

 private:
  const Driver &driver_;
  const int device_;
  bool retained_ = false;
  CUcontext previous_ = nullptr;
};

}  // namespace vram_attach
