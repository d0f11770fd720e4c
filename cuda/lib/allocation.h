/** A shard's device memory: writable at first, read-only once sealed, wiped before it is freed. See vram.h. */
#pragma once

#include <atomic>
#include <memory>

#include "driver.h"
#include "file.h"

namespace vram {

class Allocation {
 public:
  /** Exportable memory can be handed over; see vram_export.h. */
  Allocation(std::shared_ptr<Driver> driver, Device &device, uint64_t bytes, bool exportable);
  ~Allocation();

  /** Allocates and maps the memory. VRAM_TOO_LARGE, VRAM_OVERFLOW, VRAM_NOT_EXPORTABLE or VRAM_OUT_OF_MEMORY. */
  vram_status create();

  /** Imports and maps the memory, sealed. See vram_adopt. */
  vram_status adopt(uint64_t part_bytes, const std::vector<int> &descriptors);

  vram_status get_info(vram_allocation_info *out_info);
  vram_status write(uint64_t offset, const uint8_t *source, uint64_t bytes);
  vram_status read(uint64_t offset, uint8_t *destination, uint64_t bytes);
  vram_status seal();
  /** See vram_load_seal: seals the parts inside the first `filled_bytes`, except the last part. */
  vram_status seal_filled(uint64_t filled_bytes, uint64_t *out_sealed_bytes);
  vram_status attest(vram_residency *out_residency);
  vram_status digest(uint64_t offset, uint64_t bytes, uint8_t *out_hashes, uint64_t out_bytes);
  vram_status prove(vram_residency *out_residency, uint8_t *out_hashes, uint64_t out_bytes);

  /** See vram_repair. */
  vram_status repair(File &file, const vram_file_range &range, const uint8_t *hashes, uint64_t hashes_bytes,
                     uint64_t *out_repaired);
  /** See vram_repair_bytes. */
  vram_status repair_bytes(uint64_t offset, const uint8_t *data, uint64_t bytes, const uint8_t *hashes,
                           uint64_t hashes_bytes);

  /** See vram_hand_over. */
  vram_status hand_over(int socket, const void *frame, uint64_t bytes, uint64_t *out_sent);

  /** See vram_free. VRAM_OK if everything is already freed. */
  vram_status free();
  /** See vram_leave. VRAM_OK if everything is already released. */
  vram_status leave();

  /**
   * Reserves the memory for a load. Until end_load(), seal(), free() and a second begin_load() return VRAM_BUSY. Never
   * waits: VRAM_BUSY if another call uses the memory.
   */
  vram_status begin_load();
  void end_load();

  /** Whether create() or adopt() failed. The object then exists only until free() succeeds. */
  bool is_orphan() const { return orphan_; }

  Driver &driver() { return *driver_; }
  const std::shared_ptr<Driver> &shared_driver() const { return driver_; }
  Device &device() { return device_; }
  uint64_t bytes() const { return bytes_; }
  CUdeviceptr address() const { return mapping_.address(); }

 private:
  enum class Stage { kLive, kWiping, kReleasing };

  vram_status measure(uint64_t *out_mapped_bytes) const;
  vram_status opened(vram_status status);
  vram_status check_live() const { return stage_ == Stage::kLive ? VRAM_OK : VRAM_STALE_HANDLE; }
  vram_status check_range(uint64_t offset, uint64_t bytes) const;
  vram_status check_digest(uint64_t offset, uint64_t bytes, uint64_t out_bytes) const;
  vram_status check_repair(uint64_t offset, uint64_t bytes, uint64_t hashes_bytes);
  vram_status rewrite(uint64_t offset, uint64_t bytes, const uint8_t *group);
  vram_status check_not_sealed(uint64_t offset) const;
  bool is_sealed() const { return sealed_bytes_ == bytes_; }
  vram_status protect(uint64_t until_bytes);
  vram_status unprotect();
  vram_status wipe();
  vram_status wait_until_unused();
  vram_status release();

  const std::shared_ptr<Driver> driver_;
  Device &device_;
  const uint64_t bytes_;
  const bool exportable_;
  FairSharedMutex mutex_;  // shared to use the memory; exclusive to change the fields below
  Stage stage_ = Stage::kLive;
  bool loading_ = false;
  uint64_t part_bytes_ = 0;
  std::atomic<uint64_t> sealed_bytes_{0};  // from the start; written under the staged stream's mutex
  std::atomic<bool> orphan_{false};
  std::atomic<bool> exported_{false};       // another process may have the memory
  std::atomic<bool> digest_failed_{false};  // a kernel may still be reading
  std::atomic<bool> write_failed_{false};   // a copy may still be writing
  PhysicalMemory memory_;
  Mapping mapping_;
};

}  // namespace vram
