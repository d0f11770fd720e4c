/**
 * SHA-256 (FIPS 180-4) on the host: one long message in order, or many independent 4096-byte blocks at once. Uses the
 * CPU's SHA instructions where it has them (checked once, at run time), portable code elsewhere.
 */
#pragma once

#include <cstddef>
#include <cstdint>

namespace vram {

constexpr size_t kDigestBytes = 32;
constexpr size_t kBlockBytes = 4096;

/** One message, fed in pieces of any size. Copyable: a copy goes on from the same state. */
class Sha256 {
 public:
  Sha256();
  void update(const void *data, size_t bytes);
  /**
   * Feeds whole 4096-byte blocks, and hashes each of them by itself as hash_blocks does, in one pass: the message
   * schedule of a chunk is the same for both, and the two chains of rounds fill each other's gaps.
   */
  void update_and_hash_blocks(const uint8_t *blocks, uint64_t count, uint8_t *digests);
  /** Writes the 32-byte digest; the object must not be used after it. */
  void finish(uint8_t *digest);

 private:
  uint32_t state_[8];
  uint8_t tail_[64];
  uint64_t total_bytes_ = 0;
};

/** Blocks that hash_blocks makes of `bytes` bytes: ceil(bytes / 4096). */
inline uint64_t block_count(uint64_t bytes) {
  return bytes / kBlockBytes + (bytes % kBlockBytes != 0);
}

/**
 * Hashes each 4096-byte block of the input by itself, the last one padded with zeros, and writes 32 bytes a block: one
 * level of an fs-verity tree. Several blocks are interleaved to fill the CPU's pipelines.
 */
void hash_blocks(const uint8_t *input, uint64_t bytes, uint8_t *digests);

}  // namespace vram
