/** A file of the model directory. Threads of the library open and read it, because such a call may never return. */
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>

#include "../include/vram.h"
#include "descriptor.h"

namespace vram {

class File : public std::enable_shared_from_this<File> {
 public:
  using Clock = std::chrono::steady_clock;

  /** Opens the descriptor on a thread of the library. Returns a status, with the errno of a failed call. */
  using Opener = std::function<vram_status(Descriptor *out_file, int *out_error)>;

  /** Starts opening. See vram_file_open. */
  vram_status open(Opener opener);
  /** Starts a refresh of size and modification time. See vram_file_stat. */
  vram_status stat();
  /** Never waits for the file system. */
  void get_info(vram_file_info *out_info);

  /**
   * Copies bytes from `offset` on. Fewer than `bytes` if the file system has not delivered them by `deadline`: another
   * call continues. Reads ahead, up to `end`. Only one call at a time: else VRAM_BUSY.
   *
   * VRAM_FILE_TOO_SHORT, VRAM_FILE_ERROR, VRAM_FILE_BUSY; VRAM_STALE_HANDLE once closed. Throws as
   * run_on_file_thread() does.
   */
  vram_status read(uint64_t offset, uint64_t end, uint8_t *destination, uint64_t bytes, Clock::time_point deadline,
                   uint64_t *out_read);

  /** Never waits: a thread closes the descriptor when no call uses it. */
  void close();

 private:
  /** Bytes of the file. A call that hangs may still write to `data`, so it keeps this object alive. */
  struct Chunk {
    uint64_t offset = 0;
    uint64_t bytes = 0;
    std::unique_ptr<uint8_t[]> data;

    uint64_t copy(uint64_t from, uint8_t *destination, uint64_t limit) const;
  };
  using Lock = std::unique_lock<std::mutex>;

  template <typename Job>
  vram_status start(Job job);
  void finish(Lock lock, vram_status status, int error);
  void run_open(const Opener &opener);
  void run_stat();
  void run_read(uint64_t wanted);
  vram_status start_read(uint64_t offset, uint64_t end);
  vram_status wait_for_chunk(uint64_t offset, uint64_t end, Clock::time_point deadline, bool *out_ready);

  std::mutex reader_mutex_;  // held during read(); guards current_
  Chunk current_;

  std::mutex mutex_;  // never held during a call of the file system
  std::condition_variable settled_;
  bool pending_ = false;  // a job waits or runs; it owns descriptor_ and ahead_
  bool closed_ = false;
  Descriptor descriptor_;
  Chunk ahead_;
  vram_file_info info_ = {};
};

}  // namespace vram
