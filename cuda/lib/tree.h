/**
 * The fs-verity tree on the host: SHA-256, blocks of 4096 bytes, no salt. Levels, root and descriptor follow the Linux
 * kernel's Documentation/filesystems/fsverity.rst. `fsverity digest FILE` prints the same digest.
 */
#pragma once

#include <vector>

#include "../hash/sha256.h"
#include "../include/vram.h"

namespace vram {

constexpr uint64_t kGroupBytes = VRAM_GROUP_BYTES;
constexpr uint64_t kGroupBlocks = kGroupBytes / kBlockBytes;

/** Number of groups in `bytes` bytes. */
inline uint64_t group_count(uint64_t bytes) {
  return bytes / kGroupBytes + (bytes % kGroupBytes != 0);
}

/**
 * Hash of one group of `bytes` bytes, at most kGroupBytes. `one_block` says that the shard has at most one block: its
 * hash is then the group hash.
 */
void hash_group(const uint8_t *data, uint64_t bytes, bool one_block, uint8_t *out_hash);

/** Folds group_count(bytes) group hashes into the fs-verity digest, 32 bytes. */
void fold_groups(const uint8_t *group_hashes, uint64_t bytes, uint8_t *out_digest);

/** Computes the group hashes of bytes that arrive in pieces of any size. The first byte begins a group. */
class TreeHasher {
 public:
  void update(const uint8_t *data, uint64_t bytes) { update(data, bytes, nullptr); }
  /** Also feeds the bytes to `message`, in the same pass. */
  void update(const uint8_t *data, uint64_t bytes, Sha256 *message);
  /**
   * Ends the last group, which may be short, and returns the hashes of all groups since the last call. `one_block` is
   * as for hash_group(). The next bytes begin a group.
   */
  std::vector<uint8_t> take_groups(bool one_block);

  /** Makes room for the hashes of `bytes` bytes more, so that add_groups() does not move earlier ones. */
  void reserve(uint64_t bytes);
  /** Whether the next byte begins a group. */
  bool is_between_groups() const { return total_bytes_ % kGroupBytes == 0; }
  /** Adds whole groups. The caller writes their hashes to the returned place before take_groups(). */
  uint8_t *add_groups(uint64_t bytes);

 private:
  void add_blocks(const uint8_t *data, uint64_t bytes, Sha256 *message);
  void close_group();

  uint64_t total_bytes_ = 0;
  uint8_t block_[kBlockBytes];
  uint8_t leaves_[kGroupBlocks * kDigestBytes];
  uint64_t leaf_count_ = 0;
  std::vector<uint8_t> groups_;
};

}  // namespace vram
