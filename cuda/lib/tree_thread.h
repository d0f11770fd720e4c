/**
 * Hashes groups of a load on a thread of its own. The flat digest is serial, so its thread has no time for the tree: two
 * threads make both digests faster than one.
 */
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

namespace vram {

class TreeThread {
 public:
  /** Starts the thread if it is `wanted` and the host can. Without it, the thread counts as busy. */
  explicit TreeThread(bool wanted);
  /** Waits for all groups. */
  ~TreeThread();
  TreeThread(const TreeThread &) = delete;
  TreeThread &operator=(const TreeThread &) = delete;

  /** Whether the thread is late, so that the caller hashes the next groups itself. */
  bool is_busy();
  /** Starts to hash whole groups. The thread is not busy. The memory is in use until finish(data) or the destructor. */
  void hash(const uint8_t *data, uint64_t bytes, uint8_t *out_hashes);
  /** Waits for the groups at `data`, if hash() got them. */
  void finish(const uint8_t *data);

 private:
  struct Piece {
    const uint8_t *data;
    uint64_t bytes;
    uint8_t *out_hashes;
  };
  /** One is hashed and another waits. The thread is then at most as late as the copies of a load. */
  static constexpr size_t kMaxPieces = 2;

  void work() noexcept;
  bool has(const uint8_t *data) const;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::array<Piece, kMaxPieces> pieces_ = {};  // piece i: the element i % kMaxPieces
  uint64_t started_ = 0;
  uint64_t finished_ = 0;
  bool stopped_ = false;
  std::thread thread_;  // last: the thread uses all other members
};

}  // namespace vram
