/** Hashes device memory with the tree kernel, and copies one hash per group to the host. */
#pragma once

#include <array>
#include <mutex>

#include "mapping.h"
#include "staged_stream.h"

namespace vram {

class DeviceHasher {
 public:
  explicit DeviceHasher(const DriverTable &driver)
      : lanes_{Lane{StagedStream(driver)}, Lane{StagedStream(driver)}},
        driver_(driver),
        memory_(driver),
        scratch_(driver) {}

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
  /**
   * One of two streams that hash segments in turn. Level 1 of a segment and the end of its level 0 use a small part of
   * the device, so the next segment runs at the same time.
   */
  struct Lane {
    StagedStream stream;
    CUdeviceptr leaves = 0;
    uint8_t *out_hashes = nullptr; /* where the hashes of the segment in progress go; null if there is none */
    uint64_t hash_bytes = 0;
  };

  vram_status start_segment(Lane &lane, CUdeviceptr address, uint64_t bytes, bool one_block);
  static vram_status finish_segment(Lane &lane);
  vram_status finish_all();
  vram_status launch(CUdeviceptr input, uint64_t bytes, CUdeviceptr output, CUstream stream);

  std::mutex mutex_;
  std::array<Lane, 2> lanes_;
  const DriverTable &driver_;
  PhysicalMemory memory_;
  Mapping scratch_;
  CUfunction kernel_ = nullptr;
};

}  // namespace vram
