#include "engine.h"
#include "sha256.h"

#if defined(__x86_64__) || defined(__i386__)

#include <cpuid.h>
#include <immintrin.h>

// The attribute lets the file be built for any x86 CPU; x86_engine() keeps the code from running on one without it.
#define VRAM_SHA_TARGET __attribute__((target("sha,sse4.1,ssse3")))
#define VRAM_SHA_INLINE VRAM_SHA_TARGET __attribute__((always_inline)) inline

namespace vram {
namespace {

/** A state in the order that SHA256RNDS2 wants: words a, b, e, f in one register, c, d, g, h in the other. */
struct State {
  __m128i abef;
  __m128i cdgh;
};

VRAM_SHA_INLINE State load_state(const uint32_t *words) {
  const __m128i abcd = _mm_loadu_si128(reinterpret_cast<const __m128i *>(words));
  const __m128i efgh = _mm_loadu_si128(reinterpret_cast<const __m128i *>(words + 4));
  const __m128i badc = _mm_shuffle_epi32(abcd, 0xb1);
  const __m128i hgfe = _mm_shuffle_epi32(efgh, 0x1b);
  return {_mm_alignr_epi8(badc, hgfe, 8), _mm_blend_epi16(hgfe, badc, 0xf0)};
}

VRAM_SHA_INLINE void store_state(const State &state, uint32_t *words) {
  const __m128i feba = _mm_shuffle_epi32(state.abef, 0x1b);
  const __m128i dchg = _mm_shuffle_epi32(state.cdgh, 0xb1);
  _mm_storeu_si128(reinterpret_cast<__m128i *>(words), _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(reinterpret_cast<__m128i *>(words + 4), _mm_alignr_epi8(dchg, feba, 8));
}

/** The next four words of a message schedule: words t to t+3 replace words t-16 to t-13. */
VRAM_SHA_INLINE void next_words(__m128i (&words)[4], int quad) {
  const __m128i newest = words[(quad + 3) % 4];
  const __m128i seven_back = _mm_alignr_epi8(newest, words[(quad + 2) % 4], 4);
  const __m128i partial = _mm_sha256msg1_epu32(words[quad % 4], words[(quad + 1) % 4]);
  words[quad % 4] = _mm_sha256msg2_epu32(_mm_add_epi32(partial, seven_back), newest);
}

VRAM_SHA_INLINE __m128i load_words(const uint8_t *chunk, int quad) {
  const __m128i byte_order = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  return _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i *>(chunk + 16 * quad)), byte_order);
}

VRAM_SHA_INLINE void four_rounds(State &state, __m128i sum) {
  state.cdgh = _mm_sha256rnds2_epu32(state.cdgh, state.abef, sum);
  state.abef = _mm_sha256rnds2_epu32(state.abef, state.cdgh, _mm_shuffle_epi32(sum, 0x0e));
}

VRAM_SHA_INLINE State plus(const State &a, const State &b) {
  return {_mm_add_epi32(a.abef, b.abef), _mm_add_epi32(a.cdgh, b.cdgh)};
}

/**
 * One chunk of each of kLanes messages. SHA256RNDS2 waits for itself for several cycles, so that one message leaves the
 * unit idle most of the time; rounds of independent messages fill the gaps.
 */
template <int kLanes>
VRAM_SHA_INLINE void compress_lanes(State (&states)[kLanes], const uint8_t *const (&chunks)[kLanes]) {
  State working[kLanes];
  __m128i schedule[kLanes][4];
#pragma GCC unroll 4
  for (int lane = 0; lane < kLanes; ++lane) working[lane] = states[lane];

#pragma GCC unroll 16
  for (int quad = 0; quad < 16; ++quad) {
    const __m128i constants = _mm_loadu_si128(reinterpret_cast<const __m128i *>(kRoundConstants + 4 * quad));
#pragma GCC unroll 4
    for (int lane = 0; lane < kLanes; ++lane) {
      __m128i(&words)[4] = schedule[lane];
      if (quad < 4) {
        words[quad] = load_words(chunks[lane], quad);
      } else {
        next_words(words, quad);
      }
      four_rounds(working[lane], _mm_add_epi32(words[quad % 4], constants));
    }
  }
#pragma GCC unroll 4
  for (int lane = 0; lane < kLanes; ++lane) states[lane] = plus(states[lane], working[lane]);
}

/** The same chunk of two messages: one schedule, two chains of rounds. */
VRAM_SHA_INLINE void compress_shared(State &first, State &second, const uint8_t *chunk) {
  State a = first, b = second;
  __m128i words[4];
#pragma GCC unroll 16
  for (int quad = 0; quad < 16; ++quad) {
    const __m128i constants = _mm_loadu_si128(reinterpret_cast<const __m128i *>(kRoundConstants + 4 * quad));
    if (quad < 4) {
      words[quad] = load_words(chunk, quad);
    } else {
      next_words(words, quad);
    }
    const __m128i sum = _mm_add_epi32(words[quad % 4], constants);
    // Turn by turn: each step of one chain is under way while the other's waits.
    const __m128i upper = _mm_shuffle_epi32(sum, 0x0e);
    a.cdgh = _mm_sha256rnds2_epu32(a.cdgh, a.abef, sum);
    b.cdgh = _mm_sha256rnds2_epu32(b.cdgh, b.abef, sum);
    a.abef = _mm_sha256rnds2_epu32(a.abef, a.cdgh, upper);
    b.abef = _mm_sha256rnds2_epu32(b.abef, b.cdgh, upper);
  }
  first = plus(first, a);
  second = plus(second, b);
}

VRAM_SHA_TARGET void compress(uint32_t *state, const uint8_t *data, size_t chunks) {
  State states[1] = {load_state(state)};
  for (size_t i = 0; i < chunks; ++i) {
    const uint8_t *const chunk[1] = {data + i * kChunkBytes};
    compress_lanes<1>(states, chunk);
  }
  store_state(states[0], state);
}

template <int kLanes>
VRAM_SHA_TARGET void hash_lanes(const uint8_t *blocks, uint8_t *digests) {
  State states[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) states[lane] = load_state(kInitialState);
  const uint8_t *chunks[kLanes];
  for (size_t offset = 0; offset < kBlockBytes; offset += kChunkBytes) {
    for (int lane = 0; lane < kLanes; ++lane) chunks[lane] = blocks + static_cast<size_t>(lane) * kBlockBytes + offset;
    compress_lanes<kLanes>(states, chunks);
  }
  for (int lane = 0; lane < kLanes; ++lane) chunks[lane] = kBlockPadding;
  compress_lanes<kLanes>(states, chunks);

  for (int lane = 0; lane < kLanes; ++lane) {
    uint32_t words[8];
    store_state(states[lane], words);
    store_digest(words, digests + static_cast<size_t>(lane) * kDigestBytes);
  }
}

constexpr int kLanes = 3;

void hash_whole_blocks(const uint8_t *blocks, uint64_t count, uint8_t *digests) {
  uint64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) hash_lanes<kLanes>(blocks + i * kBlockBytes, digests + i * kDigestBytes);
  for (; i < count; ++i) hash_lanes<1>(blocks + i * kBlockBytes, digests + i * kDigestBytes);
}

VRAM_SHA_TARGET void compress_and_hash_blocks(uint32_t *state, const uint8_t *blocks, uint64_t count,
                                              uint8_t *digests) {
  State message = load_state(state);
  for (uint64_t i = 0; i < count; ++i, blocks += kBlockBytes, digests += kDigestBytes) {
    State own[1] = {load_state(kInitialState)};
    for (size_t offset = 0; offset < kBlockBytes; offset += kChunkBytes) {
      compress_shared(message, own[0], blocks + offset);
    }
    const uint8_t *const padding[1] = {kBlockPadding};
    compress_lanes<1>(own, padding);
    uint32_t words[8];
    store_state(own[0], words);
    store_digest(words, digests);
  }
  store_state(message, state);
}

bool cpu_has_sha() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kSsse3 = 1u << 9, kSse41 = 1u << 19, kSha = 1u << 29;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & kSsse3) == 0 || (c & kSse41) == 0) return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & kSha) != 0;
}

}  // namespace

const HashEngine *x86_engine() {
  static const HashEngine engine = {compress, hash_whole_blocks, compress_and_hash_blocks};
  static const bool usable = cpu_has_sha();
  return usable ? &engine : nullptr;
}

}  // namespace vram

#else

namespace vram {
const HashEngine *x86_engine() {
  return nullptr;
}
}  // namespace vram

#endif
