/** Reads a source into slots on a thread of its own, ahead of the consumer. */
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "source.h"

namespace vram {

class ReadAhead {
 public:
  struct Piece {
    const uint8_t *data;
    uint64_t bytes;  // 0 at the end
  };

  /**
   * Starts reading `bytes` bytes. There is at least one slot, all are different, each has VRAM_STAGING_SLOT_BYTES. The
   * first piece has at most `first_bytes`; every other piece except the last fills a slot. Throws std::system_error if
   * the host cannot start the thread.
   */
  ReadAhead(Source &source, uint64_t bytes, uint64_t first_bytes, std::vector<uint8_t *> slots);
  /** Stops reading and waits for the thread. */
  ~ReadAhead();
  ReadAhead(const ReadAhead &) = delete;
  ReadAhead &operator=(const ReadAhead &) = delete;

  /** Waits for the next piece. Returns the source's status once all pieces before the failure were returned. */
  vram_status next(Piece *out_piece);

  /** Returns the slot of the oldest piece to the reader. */
  void release_oldest();

 private:
  void read_all() noexcept;
  vram_status read_pieces();
  void end(vram_status status) noexcept;

  Source &source_;
  const uint64_t bytes_;
  const uint64_t first_bytes_;
  const std::vector<uint8_t *> slots_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Piece> pieces_;   // the pieces in the slots, by slot; allocated before the thread starts
  uint64_t filled_pieces_ = 0;  // read since the start
  uint64_t taken_pieces_ = 0;   // returned by next() since the start
  uint64_t held_ = 0;           // slots in use: being read into, filled, or held by the consumer
  vram_status status_ = VRAM_OK;
  bool ended_ = false;
  bool stopped_ = false;
  std::thread thread_;  // last: the thread uses all other members
};

}  // namespace vram
