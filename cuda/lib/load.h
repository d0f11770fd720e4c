/** A shard on its way in: bytes are digested on the host while they are copied to the device. */
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "allocation.h"
#include "copy_stream.h"
#include "source.h"
#include "tree.h"

namespace vram {

class Load {
 public:
  /** Digests alone; takes no device call, ever. */
  Load(std::shared_ptr<Driver> driver, uint64_t bytes, uint32_t flags);
  /** Copies to the start of the allocation, too, which it holds from open() to close(). */
  Load(std::shared_ptr<Allocation> allocation, uint32_t flags);
  ~Load();

  vram_status open();
  vram_status push(uint32_t slot, uint64_t bytes);
  vram_status load_file(int file, uint64_t file_offset, uint64_t bytes, const std::vector<uint32_t> &slots);
  vram_status load_socket(int socket, uint64_t bytes, uint32_t wait_ms, const std::vector<uint32_t> &slots,
                          uint64_t *out_received);
  vram_status seal(uint64_t *out_sealed_bytes);
  vram_status finish(vram_load_result *out_result);

  /** See vram_load_close. VRAM_OK again once it is closed. */
  vram_status close();

  Driver &driver() { return *driver_; }

 private:
  using Lock = std::unique_lock<std::mutex>;

  vram_status enter(Lock *out_lock);
  void end_claim();
  vram_status check_room(uint64_t bytes) const;
  vram_status check_slots(const std::vector<uint32_t> &slots) const;
  vram_status take_from(Source &source, uint64_t bytes, const std::vector<uint32_t> &slots, uint64_t *out_received);
  vram_status read_and_take(Source &source, uint64_t bytes, const std::vector<uint32_t> &slots);
  vram_status take(const uint8_t *data, uint64_t bytes);
  vram_status digest(const uint8_t *data, uint64_t bytes);

  const std::shared_ptr<Driver> driver_;
  const std::shared_ptr<Allocation> allocation_;  // null for a load that only digests
  const uint64_t bytes_;
  const uint32_t flags_;

  std::mutex mutex_;  // held by the one call at work
  uint64_t received_bytes_ = 0;
  vram_status failure_ = VRAM_OK;  // what every later call answers once a step has failed
  bool closed_ = false;            // into an allocation, true until open() holds it
  bool holds_allocation_ = false;
  Sha256 flat_;
  TreeHasher tree_;
  std::optional<vram_load_result> result_;
  CopyStream copy_stream_;
};

}  // namespace vram
