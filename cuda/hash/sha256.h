/**
 * SHA-256 (FIPS 180-4) on the host, for one long message or for many 4096-byte blocks at once. The library uses the SHA
 * instructions of the CPU if it has them, and portable code otherwise. It checks once, at run time.
 */
#pragma once

#include <cstddef>
#include <cstdint>

namespace vram {

constexpr size_t kDigestBytes = 32;
constexpr size_t kBlockBytes = 4096;

/** Hashes one message, in pieces of any size. A copy continues from the same state. */
class Sha256 {
 public:
  Sha256();
  void update(const void *data, size_t bytes);
  /**
   * Updates the message with `count` whole blocks, and hashes each block as hash_blocks does. One pass is faster than
   * two, because both hashes share a message schedule and their rounds interleave.
   */
  void update_and_hash_blocks(const uint8_t *blocks, uint64_t count, uint8_t *digests);
  /** Writes the digest, 32 bytes. Do not use the object afterwards. */
  void finish(uint8_t *digest);

 private:
  uint32_t state_[8];
  uint8_t tail_[64];
  uint64_t total_bytes_ = 0;
};

/** Blocks in `bytes` bytes, including a partial last one. */
inline uint64_t block_count(uint64_t bytes) {
  return bytes / kBlockBytes + (bytes % kBlockBytes != 0);
}

/**
 * Computes one level of an fs-verity tree: the hash of each 4096-byte block of the input, 32 bytes per block. Zeros pad
 * the last block.
 */
void hash_blocks(const uint8_t *input, uint64_t bytes, uint8_t *digests);

/** Whether update_and_hash_blocks() costs little more than update(), so that two threads gain little. */
bool one_pass_costs_little();

}  // namespace vram
