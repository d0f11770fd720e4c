/**
 * The fs-verity tree on the host: SHA-256, blocks of 4096 bytes, no salt. Levels, root and descriptor follow the Linux
 * kernel's Documentation/filesystems/fsverity.rst; `fsverity digest FILE` prints the same number.
 */
#pragma once

#include <vector>

#include "../hash/sha256.h"
#include "../include/vram.h"

namespace vram {

constexpr uint64_t kGroupBytes = VRAM_GROUP_BYTES;
constexpr uint64_t kGroupBlocks = kGroupBytes / kBlockBytes;

/** Groups that cover `bytes` bytes. */
inline uint64_t group_count(uint64_t bytes) {
  return bytes / kGroupBytes + (bytes % kGroupBytes != 0);
}

/**
 * The hash of one group: of `bytes` bytes, at most kGroupBytes. Where `one_block` says that the shard is no longer than
 * a block, the block's own hash stands for the group's.
 */
void hash_group(const uint8_t *data, uint64_t bytes, bool one_block, uint8_t *out_hash);

/** Folds group_count(bytes) group hashes into the fs-verity digest, 32 bytes. */
void fold_groups(const uint8_t *group_hashes, uint64_t bytes, uint8_t *out_digest);

/** The group hashes of a run of bytes, fed in pieces of any size. Keeps 32 bytes a group, and less than one group more.
 */
class TreeHasher {
 public:
  void update(const uint8_t *data, uint64_t bytes) { update(data, bytes, nullptr); }
  /** The same, and feeds the bytes to `message` in the same pass. */
  void update(const uint8_t *data, uint64_t bytes, Sha256 *message);
  /** Writes the fs-verity digest; the object must not be used after it. */
  void finish(uint8_t *out_digest);

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
