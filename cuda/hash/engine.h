/**
 * The ways to compute SHA-256 that the library has, and the choice between them. Internal to cuda/hash, and open to
 * the tests, which hold them equal.
 */
#pragma once

#include <cstddef>
#include <cstdint>

namespace vram {

constexpr size_t kChunkBytes = 64;

/** One implementation of the compression function, alone and over whole 4096-byte blocks. */
struct HashEngine {
  /** Folds `chunks` 64-byte chunks of one message into its state. */
  void (*compress)(uint32_t *state, const uint8_t *data, size_t chunks);
  /** Hashes `count` whole blocks, each a message of its own, 32 bytes of digest a block. */
  void (*hash_whole_blocks)(const uint8_t *blocks, uint64_t count, uint8_t *digests);
  /** Both at once over the same bytes: they are part of one message, and each block is a message of its own too. */
  void (*compress_and_hash_blocks)(uint32_t *state, const uint8_t *blocks, uint64_t count, uint8_t *digests);
};

/** FIPS 180-4, section 5.3.3 (initial state), section 4.2.2 (round constants). */
constexpr uint32_t kInitialState[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
extern const uint32_t kRoundConstants[64];

/** The chunk that ends every 4096-byte message: a 1 bit, zeros, and the length of 32768 bits (section 5.1.1). */
extern const uint8_t kBlockPadding[kChunkBytes];

/** Writes a state as the big-endian digest. */
inline void store_digest(const uint32_t *state, uint8_t *digest) {
  for (size_t i = 0; i < 8; ++i) {
    digest[4 * i] = static_cast<uint8_t>(state[i] >> 24);
    digest[4 * i + 1] = static_cast<uint8_t>(state[i] >> 16);
    digest[4 * i + 2] = static_cast<uint8_t>(state[i] >> 8);
    digest[4 * i + 3] = static_cast<uint8_t>(state[i]);
  }
}

/** Works on any CPU. */
const HashEngine &portable_engine();

/** Uses the SHA extensions of x86; null where this CPU lacks them. */
const HashEngine *x86_engine();

/** The same, and sixteen blocks at once by AVX-512; null where this CPU lacks either. */
const HashEngine *avx512_engine();

/** The fastest of them here; decided once. */
const HashEngine &best_engine();

}  // namespace vram
