/** A shard's memory, imported from descriptors and mapped read-only into one range of addresses. */
#pragma once

#include <vector>

#include "descriptor.h"
#include "driver.h"

namespace vram_attach {

/** The parts of a shard's memory: lengths in bytes, in the order of their descriptors. */
struct Layout {
  uint64_t vram_bytes;
  std::vector<uint64_t> part_bytes;
  std::string gpu_uuid;  // device that the memory must be on; empty: any of this process
};

class Mapping {
 public:
  /** Imports and maps. Throws VRAM_ATTACH_PROTOCOL_ERROR, _DEVICE_NOT_FOUND or _DRIVER_ERROR; nothing is then mapped.
   */
  Mapping(const Driver &driver, const Layout &layout, const Descriptors &descriptors);
  ~Mapping();
  Mapping(const Mapping &) = delete;
  Mapping &operator=(const Mapping &) = delete;

  /** Unmaps. Throws VRAM_ATTACH_DRIVER_ERROR; another call continues where this one stopped. */
  void release();

  /** Copies mapped bytes to host memory. Throws VRAM_ATTACH_DRIVER_ERROR. */
  void read(uint64_t offset, void *buffer, uint64_t bytes) const;

  CUdeviceptr address() const { return address_; }
  uint64_t bytes() const { return bytes_; }
  int device() const { return device_; }

 private:
  void import(const Layout &layout, const Descriptors &descriptors);
  void map(const Layout &layout);
  CUresult copy_to_host(uint64_t offset, void *buffer, uint64_t bytes) const;
  CUresult release_handles();
  /** Unmaps what is mapped. Stops at the first failure. */
  CUresult unmap();

  const Driver &driver_;
  int device_ = -1;
  CUdeviceptr address_ = 0;
  uint64_t bytes_ = 0;
  bool reserved_ = false;
  std::vector<CUmemGenericAllocationHandle> handles_;
  std::vector<uint64_t> mapped_parts_;  // lengths, from the start of the range
  std::unique_ptr<DeviceContext> context_;
};

}  // namespace vram_attach
