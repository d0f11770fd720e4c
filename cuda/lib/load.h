/** A load: bytes are digested on the host while they are copied to the device. See vram.h. */
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
  /** Only digests; makes no driver call. */
  Load(std::shared_ptr<Driver> driver, uint64_t bytes, uint32_t flags);
  /** Also copies to the start of the allocation, which it reserves from open() to close(). */
  Load(std::shared_ptr<Allocation> allocation, uint32_t flags);
  ~Load();

  vram_status open();
  vram_status push(uint32_t slot, uint64_t bytes);
  vram_status load_file(File &file, const vram_file_range &range, const std::vector<uint32_t> &slots,
                        uint64_t *out_received);
  vram_status load_socket(int socket, uint64_t bytes, uint32_t wait_ms, const std::vector<uint32_t> &slots,
                          uint64_t *out_received);
  vram_status seal(uint64_t *out_sealed_bytes);
  vram_status finish(vram_load_result *out_result);

  /** See vram_load_close. VRAM_OK if it is already closed. */
  vram_status close();

  Driver &driver() { return *driver_; }

 private:
  using Lock = std::unique_lock<std::mutex>;

  vram_status acquire(Lock *out_lock);
  void release_allocation();
  vram_status check_overrun(uint64_t bytes) const;
  vram_status check_slots(const std::vector<uint32_t> &slots) const;
  vram_status load_from(Source &source, uint64_t bytes, const std::vector<uint32_t> &slots, uint64_t *out_received);
  vram_status read_and_append(Source &source, uint64_t bytes, const std::vector<uint32_t> &slots);
  vram_status append(const uint8_t *data, uint64_t bytes);
  vram_status digest(const uint8_t *data, uint64_t bytes);

  const std::shared_ptr<Driver> driver_;
  const std::shared_ptr<Allocation> allocation_;  // null if the load only digests
  const uint64_t bytes_;
  const uint32_t flags_;

  std::mutex mutex_;  // held during each call
  uint64_t received_bytes_ = 0;
  vram_status failure_ = VRAM_OK;  // the first failure; every later call returns it
  bool closed_ = false;            // with an allocation: true until open() has reserved it
  bool holds_allocation_ = false;
  Sha256 flat_;
  TreeHasher tree_;
  std::optional<vram_load_result> result_;
  CopyStream copy_stream_;
};

}  // namespace vram
