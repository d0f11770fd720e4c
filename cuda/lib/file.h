/** A file of the model directory. Threads of the library open and read it, because such a call may never return. */
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "../include/vram.h"
#include "descriptor.h"
#include "read_buffers.h"

namespace vram {

class File : public std::enable_shared_from_this<File> {
 public:
  using Clock = std::chrono::steady_clock;

  /** Opens the descriptor on a thread of the library. Returns a status, with the errno of a failed call. */
  using Opener = std::function<vram_status(Descriptor *out_file, int *out_error)>;

  /** Starts opening. See vram_file_open. */
  vram_status open(Opener opener);
  /** Duplicates the descriptor (dup(2)), on a thread of the library. An Opener. VRAM_STALE_HANDLE unless it is open. */
  vram_status duplicate(Descriptor *out_file, int *out_error);
  /** Starts a refresh of size and modification time. See vram_file_stat. */
  vram_status stat();
  /** Never waits for the file system. */
  void get_info(vram_file_info *out_info);

  /** Bytes of the file, in memory that a copy to a device may read. */
  struct Chunk {
    uint64_t offset = 0;
    uint64_t bytes = 0;
    SharedReadBuffer buffer;

    uint64_t copy(uint64_t from, uint8_t *destination, uint64_t limit) const;
  };

  /**
   * Copies bytes from `offset` on. Fewer than `bytes` if the file system has not delivered them by `deadline`: another
   * call continues. Reads ahead, up to `end`. Only one call at a time: else VRAM_BUSY.
   *
   * VRAM_FILE_TOO_SHORT, VRAM_FILE_ERROR, VRAM_FILE_BUSY; VRAM_STALE_HANDLE once closed. Throws as
   * run_on_file_thread() does.
   */
  vram_status read(uint64_t offset, uint64_t end, uint8_t *destination, uint64_t bytes, Clock::time_point deadline,
                   uint64_t *out_read);

  /** A call that takes chunks of the file, without a copy. Only one at a time, as for read(). */
  class ChunkReader {
   public:
    /** Needs a device's context to be current, unless `pool` is null: then the buffers are not pinned. */
    ChunkReader(File &file, ReadBuffers *pool);
    ~ChunkReader();
    ChunkReader(const ChunkReader &) = delete;
    ChunkReader &operator=(const ChunkReader &) = delete;

    /**
     * Takes the chunk at `offset`; the next ones are read ahead, up to `end`. A chunk ends at a multiple of
     * ReadBuffer::kBytes, or at `end`. 0 bytes if the file system has not delivered it by `deadline`. Fails as read().
     */
    vram_status take(uint64_t offset, uint64_t end, Clock::time_point deadline, Chunk *out_chunk);
    /** Gives a chunk back, whose buffer nothing uses, so that the next bytes are read into it. */
    void give(Chunk chunk) noexcept;

   private:
    friend class File;
    vram_status take_buffers();
    bool is_ready(uint64_t offset) const;
    vram_status start_reads(uint64_t offset, uint64_t end);

    File &file_;
    ReadBuffers *const pool_;
    const std::unique_lock<std::mutex> lock_;
    std::vector<SharedReadBuffer> fresh_;  // replace those of the file
  };

  /** Never waits: a thread closes the descriptor when no call uses it. */
  void close();

 private:
  using Lock = std::unique_lock<std::mutex>;

  template <typename Job>
  vram_status start(Job job);
  void finish(Lock lock, vram_status status, int error);
  void run_open(const Opener &opener);
  void run_stat();
  void run_reads();
  bool has_work() const;
  void reuse(Chunk chunk) noexcept;

  std::mutex reader_mutex_;  // held while a call reads; guards the next two
  Chunk current_;            // the bytes that follow those of the last read()
  std::optional<const ReadBuffers *> buffers_of_;  // the pool of all buffers; none before the first read

  std::mutex mutex_;  // never held during a call of the file system or the driver
  std::condition_variable settled_;
  bool pending_ = false;  // a job waits or runs; it owns descriptor_
  bool closed_ = false;
  Descriptor descriptor_;
  vram_file_info info_ = {};
  std::vector<Chunk> ahead_;            // in order, without a gap
  std::vector<SharedReadBuffer> free_;  // to read into
  bool reading_ = false;                // a call takes chunks, so that reading ahead is worth it
  uint64_t next_ = 0;                   // the end of ahead_, where the next read starts
  uint64_t end_ = 0;                    // where reading ahead stops
};

}  // namespace vram
