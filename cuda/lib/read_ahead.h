/** Reads a run of a source into slots, ahead of whoever uses them, on a thread of its own. */
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "source.h"

namespace vram {

class ReadAhead {
 public:
  struct Piece {
    const uint8_t *data;
    uint64_t bytes;  // 0: the run has ended
  };

  /**
   * Starts reading. The slots are VRAM_STAGING_SLOT_BYTES each, at least one, all different. The first piece is at most
   * `first_bytes` long, the others fill a slot, the last excepted.
   */
  ReadAhead(Source &source, uint64_t bytes, uint64_t first_bytes, std::vector<uint8_t *> slots);
  /** Stops reading and waits for the thread. */
  ~ReadAhead();
  ReadAhead(const ReadAhead &) = delete;
  ReadAhead &operator=(const ReadAhead &) = delete;

  /** The next piece in order, when it has been read; what the source fails with. */
  vram_status next(Piece *out_piece);

  /** Gives the slot of the oldest piece that is still held back to the reader. */
  void give_back();

 private:
  void read_all();

  Source &source_;
  const uint64_t bytes_;
  const uint64_t first_bytes_;
  const std::vector<uint8_t *> slots_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Piece> filled_;  // read, and not yet taken
  uint64_t held_ = 0;         // slots that are being read into, filled, or taken and not given back
  vram_status status_ = VRAM_OK;
  bool ended_ = false;
  bool stopped_ = false;
  std::thread thread_;  // last: it uses all the others
};

}  // namespace vram
