/** Hashes device memory with the tree kernel, and copies one hash per group to the host. */
#pragma once

#include "mapping.h"
#include "staged_stream.h"

namespace vram {

class DeviceHasher {
 public:
  explicit DeviceHasher(const DriverTable &driver)
      : stream_(driver), driver_(driver), memory_(driver), scratch_(driver) {}

  /** Allocates all scratch memory at once, so that the device's free memory stays constant. Needs the context. */
  vram_status create(int device, uint64_t granularity_bytes, CUfunction kernel);
  vram_status release();

  /**
   * Writes the group hashes of [address, address + bytes), 32 bytes each. `one_block` says that the shard has at most
   * one block: its hash is then the group hash. On failure `out_hashes` may be partly written. Any thread may call it;
   * digests run one after another.
   */
  vram_status digest(CUdeviceptr address, uint64_t bytes, bool one_block, uint8_t *out_hashes);

  /** After a failed digest: waits until the kernel no longer reads the memory. */
  vram_status synchronize();

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
