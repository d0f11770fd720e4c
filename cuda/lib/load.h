/** A writer of a load: bytes are digested on the host while they are copied to the device. See vram.h. */
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "copy_stream.h"
#include "file.h"
#include "load_target.h"
#include "source.h"
#include "tree_thread.h"

namespace vram {

class Load {
 public:
  /** Writes to the start of the target. seek() moves it. */
  explicit Load(std::shared_ptr<LoadTarget> target);
  ~Load();

  /** Opens the first writer, which reserves the allocation. */
  vram_status open();
  /** Opens another writer of the same load. `out_writer` is set even if that fails: close it then. */
  vram_status open_writer(std::shared_ptr<Load> *out_writer);

  vram_status seek(uint64_t offset);
  vram_status push(const std::vector<uint32_t> &slots, uint64_t bytes);
  vram_status load_file(File &file, const vram_file_range &range, uint64_t *out_received);
  vram_status load_socket(int socket, uint64_t bytes, uint32_t wait_ms, const std::vector<uint32_t> &slots,
                          uint64_t *out_received);
  vram_status seal(uint64_t *out_sealed_bytes);
  vram_status finish(vram_load_result *out_result);
  /** See vram_load_complete. */
  vram_status complete(uint32_t slot, uint64_t bytes, vram_load_result *out_result);

  /** See vram_load_close. VRAM_OK if it is already closed. */
  vram_status close();

  Driver &driver() { return target_->driver(); }
  /** Null if the load only digests. */
  std::shared_ptr<Allocation> allocation() const { return target_->shared_allocation(); }

 private:
  using Lock = std::unique_lock<std::mutex>;

  vram_status acquire(Lock *out_lock);
  void begin();
  void leave_target();
  vram_status check_slots(const std::vector<uint32_t> &slots) const;
  template <typename Write>
  vram_status claim_and_write(uint64_t bytes, Write write);
  vram_status append_source(Source &source, uint64_t bytes, const std::vector<uint32_t> &slots);
  vram_status append_file(File &file, const vram_file_range &range);
  vram_status append(const uint8_t *data, uint64_t bytes, TreeThread *tree_thread);
  vram_status finish_copies(uint64_t running);
  vram_status take_stream();
  bool wants_tree_thread(uint64_t bytes);
  void digest(const uint8_t *data, uint64_t bytes, TreeThread *tree_thread);
  bool is_between_groups() const;
  void store_hashes();

  const std::shared_ptr<LoadTarget> target_;

  std::mutex mutex_;  // held during each call
  uint64_t position_ = 0;
  uint64_t hashed_from_ = 0;  // where the groups in tree_ begin
  bool closed_ = true;        // until the writer is open
  bool holds_target_ = false;
  Sha256 flat_;
  TreeHasher tree_;
  std::optional<vram_load_result> result_;
  std::unique_ptr<CopyStream> copy_stream_;  // from the first byte on, if there is an allocation
};

}  // namespace vram
