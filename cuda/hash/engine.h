/**
 * The SHA-256 implementations of the library, and the choice between them. Only cuda/hash and the tests include this
 * file. The tests compare every engine with the portable one.
 */
#pragma once

#include <cstddef>
#include <cstdint>

namespace vram {

constexpr size_t kChunkBytes = 64;

/** An implementation of the compression function, for one message and for whole 4096-byte blocks. */
struct HashEngine {
  /** Updates the state of one message with `chunks` 64-byte chunks. */
  void (*compress)(uint32_t *state, const uint8_t *data, size_t chunks);
  /** Hashes `count` whole blocks as separate messages. Writes 32 bytes per block. */
  void (*hash_whole_blocks)(const uint8_t *blocks, uint64_t count, uint8_t *digests);
  /** Does both over the same bytes, in one pass. */
  void (*compress_and_hash_blocks)(uint32_t *state, const uint8_t *blocks, uint64_t count, uint8_t *digests);
  /** Whether that pass interleaves both, so that it costs little more than one of them. */
  bool interleaves;
};

/** FIPS 180-4: the initial state of section 5.3.3 and the round constants of section 4.2.2. */
constexpr uint32_t kInitialState[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
extern const uint32_t kRoundConstants[64];

/** The last chunk of every 4096-byte message: a 1 bit, zeros, and the length of 32768 bits (section 5.1.1). */
extern const uint8_t kBlockPadding[kChunkBytes];

/** Writes the state as a big-endian digest, 32 bytes. */
inline void store_digest(const uint32_t *state, uint8_t *digest) {
  for (size_t i = 0; i < 8; ++i) {
    digest[4 * i] = static_cast<uint8_t>(state[i] >> 24);
    digest[4 * i + 1] = static_cast<uint8_t>(state[i] >> 16);
    digest[4 * i + 2] = static_cast<uint8_t>(state[i] >> 8);
    digest[4 * i + 3] = static_cast<uint8_t>(state[i]);
  }
}

/** Runs on any CPU. */
const HashEngine &portable_engine();

/** Uses the x86 SHA extensions. Null if this CPU lacks them. */
const HashEngine *x86_engine();

/**
 * Hashes sixteen blocks at once with AVX-512, and more work with the SHA extensions between the rounds. Fast only
 * on AMD CPUs. Null if this CPU lacks either extension.
 */
const HashEngine *avx512_engine();

/** Hashes sixteen blocks at once with AVX-512 and nothing else between. Null if this CPU lacks either extension. */
const HashEngine *avx512_lanes_engine();

/** The faster of the two on this CPU. Null if this CPU lacks either extension. */
const HashEngine *faster_avx512_engine();

/** The fastest engine on this CPU, chosen at the first call. Thread-safe. */
const HashEngine &best_engine();

}  // namespace vram
