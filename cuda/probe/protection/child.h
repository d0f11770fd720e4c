/** A process that makes one attempt to use protected memory, and prints the results on the same line. */
#pragma once

#include "../driver.h"

namespace probe {

constexpr size_t kBytes = 2 * kGranule;
constexpr unsigned char kBefore = 0xa5;
constexpr unsigned char kAfter = 0x5a;

/** Memory of two granules, filled with kBefore. */
struct Child {
  explicit Child(const char *driver_path);

  CUresult access(CUmemAccess_flags flags) const { return access(0, kBytes, flags); }
  CUresult access(size_t offset, size_t bytes, CUmemAccess_flags flags) const {
    return set_access(driver, memory.address + offset, bytes, flags);
  }
  /** Launches one thread of a kernel of `kernels.cu`. */
  CUresult launch(const char *kernel, CUdeviceptr address, uint64_t second) const;
  CUresult wait() const { return driver.cuStreamSynchronize(stream); }

  void print(const char *what, CUresult result) const;
  /** What cuMemGetAccess returns for an address. */
  void print_access(const char *what, CUdeviceptr address) const;

  Driver driver;
  bool exportable = false;
  Memory memory;
  CUstream stream = nullptr;
  CUdeviceptr other = 0;   // writable memory of kBytes, filled with kAfter
  void *pinned = nullptr;  // 1 MiB of the host, filled with kAfter
};

}  // namespace probe
