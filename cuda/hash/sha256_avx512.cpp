/**
 * Sixteen 4096-byte blocks at once with AVX-512: lane i of every register belongs to block i. Hashes more bytes a
 * second than the SHA instructions do, and only where there are many blocks: a lone message is theirs.
 */
#include "engine.h"
#include "sha256.h"

#if defined(__x86_64__)

// The intrinsics of GCC 12 pass registers whose content does not matter, and warn of it (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include <immintrin.h>

#define VRAM_AVX512_TARGET __attribute__((target("avx512f,avx512bw")))
#define VRAM_AVX512_INLINE VRAM_AVX512_TARGET __attribute__((always_inline)) inline

namespace vram {
namespace {

constexpr int kLanes = 16;

VRAM_AVX512_INLINE __m512i add(__m512i a, __m512i b) {
  return _mm512_add_epi32(a, b);
}

VRAM_AVX512_INLINE __m512i xor3(__m512i a, __m512i b, __m512i c) {
  return _mm512_ternarylogic_epi32(a, b, c, 0x96);
}

/** FIPS 180-4, section 4.1.2: the functions of SHA-256, a lane each. */
VRAM_AVX512_INLINE __m512i choice(__m512i e, __m512i f, __m512i g) {
  return _mm512_ternarylogic_epi32(e, f, g, 0xca);
}
VRAM_AVX512_INLINE __m512i majority(__m512i a, __m512i b, __m512i c) {
  return _mm512_ternarylogic_epi32(a, b, c, 0xe8);
}
VRAM_AVX512_INLINE __m512i sum0(__m512i x) {
  return xor3(_mm512_ror_epi32(x, 2), _mm512_ror_epi32(x, 13), _mm512_ror_epi32(x, 22));
}
VRAM_AVX512_INLINE __m512i sum1(__m512i x) {
  return xor3(_mm512_ror_epi32(x, 6), _mm512_ror_epi32(x, 11), _mm512_ror_epi32(x, 25));
}
VRAM_AVX512_INLINE __m512i sigma0(__m512i x) {
  return xor3(_mm512_ror_epi32(x, 7), _mm512_ror_epi32(x, 18), _mm512_srli_epi32(x, 3));
}
VRAM_AVX512_INLINE __m512i sigma1(__m512i x) {
  return xor3(_mm512_ror_epi32(x, 17), _mm512_ror_epi32(x, 19), _mm512_srli_epi32(x, 10));
}

/** Folds one chunk of each lane into the lanes' states. The schedule is a ring of 16 words, used up on the way. */
VRAM_AVX512_INLINE void compress_lanes(__m512i (&state)[8], __m512i (&schedule)[16]) {
  // Round t finds the letter a in register (64 - t) % 8, b in the next, and so on: nothing is moved.
  __m512i v[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) v[i] = state[i];
#pragma GCC unroll 64
  for (int t = 0; t < 64; ++t) {
    __m512i &word = schedule[t % 16];
    if (t >= 16) {
      word =
          add(add(word, schedule[(t + 9) % 16]), add(sigma0(schedule[(t + 1) % 16]), sigma1(schedule[(t + 14) % 16])));
    }
    const __m512i a = v[(64 - t) % 8], b = v[(65 - t) % 8], c = v[(66 - t) % 8], e = v[(68 - t) % 8];
    const __m512i f = v[(69 - t) % 8], g = v[(70 - t) % 8];
    __m512i &d = v[(67 - t) % 8], &h = v[(71 - t) % 8];
    const __m512i constant = _mm512_set1_epi32(static_cast<int>(kRoundConstants[t]));
    const __m512i t1 = add(add(h, add(word, constant)), add(sum1(e), choice(e, f, g)));
    d = add(d, t1);
    h = add(t1, add(sum0(a), majority(a, b, c)));
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) state[i] = add(state[i], v[i]);
}

/** Rows become columns: 16 registers of 16 words. */
VRAM_AVX512_INLINE void transpose(__m512i (&rows)[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    rows[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(rows[i], rows[4 + i], 0x88);
    t[4 + i] = _mm512_shuffle_i32x4(rows[i], rows[4 + i], 0xdd);
    t[8 + i] = _mm512_shuffle_i32x4(rows[8 + i], rows[12 + i], 0x88);
    t[12 + i] = _mm512_shuffle_i32x4(rows[8 + i], rows[12 + i], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    rows[i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0x88);
    rows[4 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0x88);
    rows[8 + i] = _mm512_shuffle_i32x4(t[i], t[8 + i], 0xdd);
    rows[12 + i] = _mm512_shuffle_i32x4(t[4 + i], t[12 + i], 0xdd);
  }
}

VRAM_AVX512_INLINE __m512i swap_bytes(__m512i words) {
  const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  return _mm512_shuffle_epi8(words, _mm512_broadcast_i32x4(order));
}

VRAM_AVX512_TARGET void hash_sixteen(const uint8_t *blocks, uint8_t *digests) {
  __m512i state[8], words[16];
  for (int i = 0; i < 8; ++i) state[i] = _mm512_set1_epi32(static_cast<int>(kInitialState[i]));
  for (size_t offset = 0; offset < kBlockBytes; offset += kChunkBytes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      words[lane] = swap_bytes(_mm512_loadu_si512(blocks + lane * kBlockBytes + offset));
    }
    transpose(words);
    compress_lanes(state, words);
  }
  for (int i = 1; i < 15; ++i) words[i] = _mm512_setzero_si512();
  words[0] = _mm512_set1_epi32(static_cast<int>(0x80000000u));
  words[15] = _mm512_set1_epi32(static_cast<int>(kBlockBytes * 8));
  compress_lanes(state, words);

  for (int i = 0; i < 8; ++i) words[i] = swap_bytes(state[i]);
  for (int i = 8; i < 16; ++i) words[i] = _mm512_setzero_si512();
  transpose(words);
  for (size_t lane = 0; lane < kLanes; ++lane) {
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(digests + lane * kDigestBytes),
                        _mm512_castsi512_si256(words[lane]));
  }
}

void hash_whole_blocks(const uint8_t *blocks, uint64_t count, uint8_t *digests) {
  const uint64_t in_lanes = count / kLanes * kLanes;
  for (uint64_t i = 0; i < in_lanes; i += kLanes) hash_sixteen(blocks + i * kBlockBytes, digests + i * kDigestBytes);
  const uint64_t rest = count - in_lanes;
  x86_engine()->hash_whole_blocks(blocks + in_lanes * kBlockBytes, rest, digests + in_lanes * kDigestBytes);
}

}  // namespace

const HashEngine *avx512_engine() {
  if (x86_engine() == nullptr || __builtin_cpu_supports("avx512bw") == 0) return nullptr;
  static const HashEngine engine = {x86_engine()->compress, hash_whole_blocks, x86_engine()->compress_and_hash_blocks};
  return &engine;
}

}  // namespace vram

#else

namespace vram {
const HashEngine *avx512_engine() {
  return nullptr;
}
}  // namespace vram

#endif
