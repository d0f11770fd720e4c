/**
 * Spoofed attributes: the driver reports them instead of the real ones. Tests use them to check that libvram detects
 * memory that it did not request.
 */
#pragma once

#include <array>
#include <mutex>
#include <optional>
#include <string_view>

namespace cuda_sim {

enum class Spoof {
  kMemoryType,    /* cuPointerGetAttributes: memory type */
  kIsManaged,     /* cuPointerGetAttributes: whether the memory is managed */
  kOrdinal,       /* cuPointerGetAttributes: device ordinal */
  kHostPointer,   /* cuPointerGetAttributes: host pointer; nonzero reports one */
  kLocationType,  /* cuMemGetAllocationPropertiesFromHandle: location type */
  kLocationId,    /* cuMemGetAllocationPropertiesFromHandle: location ID */
  kAccess,        /* cuMemGetAccess: access of the memory's own device */
  kForeignAccess, /* cuMemGetAccess: access of any other device */
  kVmm,           /* cuDeviceGetAttribute: virtual memory management support */
  kMig,           /* cuDeviceGetUuid: nonzero returns another UUID than cuDeviceGetUuid_v2 */
  kCudaVersion,   /* cuDriverGetVersion */
  kKernelOutput,  /* cuLaunchKernel: nonzero bits are flipped in the first byte of the output */
  kExport,        /* cuDeviceGetAttribute: support of export as file descriptors; 0 also refuses such memory */
  kCount,
};

class Spoofs {
 public:
  /** Replaces the spoofs with "memory_type=1,is_managed=1,…". False, without an effect, if the text is invalid. */
  bool set(std::string_view text);

  /** Returns the spoofed value, or `actual` if the attribute is not spoofed. */
  int report(Spoof spoof, int actual) const;

 private:
  using Values = std::array<std::optional<int>, static_cast<size_t>(Spoof::kCount)>;

  mutable std::mutex mutex_;
  Values values_;
};

}  // namespace cuda_sim
