/** Reads a run of a file into slots, ahead of whoever uses them, on a thread of its own. */
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "../include/vram.h"

namespace vram {

class FileReader {
 public:
  struct Piece {
    const uint8_t *data;
    uint64_t bytes;  // 0: the run has ended
  };

  /** Starts reading. The slots are VRAM_STAGING_SLOT_BYTES each, at least one, all different. */
  FileReader(int file, uint64_t offset, uint64_t bytes, std::vector<uint8_t *> slots);
  /** Stops reading and waits for the thread. */
  ~FileReader();
  FileReader(const FileReader &) = delete;
  FileReader &operator=(const FileReader &) = delete;

  /** The next piece in order, when it has been read. VRAM_FILE_TOO_SHORT, VRAM_FILE_ERROR where it can't be. */
  vram_status next(Piece *out_piece);

  /** Gives the slot of the oldest piece that is still held back to the reader. */
  void give_back();

 private:
  void read_all();
  vram_status fill(uint8_t *slot, uint64_t offset, uint64_t bytes) const;
  uint64_t piece_bytes(uint64_t piece) const;

  const int file_;
  const uint64_t offset_;
  const uint64_t bytes_;
  const std::vector<uint8_t *> slots_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // Counts of pieces: given_back_ <= taken_ <= filled_ <= given_back_ + slots.
  uint64_t filled_ = 0;
  uint64_t taken_ = 0;
  uint64_t given_back_ = 0;
  vram_status status_ = VRAM_OK;
  bool stopped_ = false;
  std::thread thread_;  // last: it uses all the others
};

}  // namespace vram
