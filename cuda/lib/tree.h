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

/** Computes the fs-verity digest of bytes that arrive in pieces of any size. Keeps 32 bytes per group. */
class TreeHasher {
 public:
  void update(const uint8_t *data, uint64_t bytes) { update(data, bytes, nullptr); }
  /** Also feeds the bytes to `message`, in the same pass. */
  void update(const uint8_t *data, uint64_t bytes, Sha256 *message);
  /** Writes the fs-verity digest. The object must not be used afterwards. */
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
