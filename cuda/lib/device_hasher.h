/** Digests memory where it lies: runs the kernel over it, and brings back one hash a group. */
#pragma once

#include "mapping.h"
#include "staged_stream.h"

namespace vram {

class DeviceHasher {
 public:
  explicit DeviceHasher(const DriverTable &driver)
      : stream_(driver), driver_(driver), memory_(driver), scratch_(driver) {}

  /** Takes all that it will ever need, so that the device's free memory does not change later. Needs the context. */
  vram_status create(int device, uint64_t granularity_bytes, CUfunction kernel);
  vram_status release();

  /**
   * Writes the group hashes of [address, address + bytes), 32 bytes each. Where `one_block` says that the shard is no
   * longer than a block, the block's own hash stands for the group's. On failure `out_hashes` holds some hashes or
   * none. One digest runs at a time; others wait.
   */
  vram_status digest(CUdeviceptr address, uint64_t bytes, bool one_block, uint8_t *out_hashes);

  /** After a digest that failed: returns when none of its work touches the memory any more. */
  vram_status settle();

 private:
  vram_status digest_segment(CUdeviceptr address, uint64_t bytes, bool one_block, uint8_t *out_hashes);
  vram_status launch(CUdeviceptr input, uint64_t bytes, CUdeviceptr output, CUstream stream);

  StagedStream stream_;
  const DriverTable &driver_;
  PhysicalMemory memory_;
  Mapping scratch_;
  CUfunction kernel_ = nullptr;
};

}  // namespace vram
