/** Answers that are not so: what a caller must find out when a driver hands it memory other than it asked for. */
#pragma once

#include <array>
#include <mutex>
#include <optional>
#include <string_view>

namespace cuda_sim {

enum class Spoof {
  kMemoryType,    /* cuPointerGetAttributes: the type of memory */
  kIsManaged,     /* … whether it is managed */
  kOrdinal,       /* … the device's ordinal */
  kHostPointer,   /* … an address for the host */
  kLocationType,  /* cuMemGetAllocationPropertiesFromHandle: the location's type */
  kLocationId,    /* … the location's id */
  kAccess,        /* cuMemGetAccess: of the memory's own device */
  kForeignAccess, /* … of any other device */
  kVmm,           /* cuDeviceGetAttribute: support of virtual memory management */
  kCount,
};

class Spoofs {
 public:
  /** Replaces the spoofs by "memory_type=1,is_managed=1,…"; false for anything else, and nothing has changed. */
  bool set(std::string_view text);

  /** The value to report in place of the truth. */
  int report(Spoof spoof, int truth) const;

 private:
  using Values = std::array<std::optional<int>, static_cast<size_t>(Spoof::kCount)>;

  mutable std::mutex mutex_;
  Values values_;
};

}  // namespace cuda_sim
