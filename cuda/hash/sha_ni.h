/**
 * SHA-256 with the x86 SHA extensions (Intel, "SHA Extensions", 2013): the state, the rounds and the message schedule.
 * Callers must check at run time that the CPU has the extensions.
 */
#pragma once

#include <immintrin.h>

#include "engine.h"

#define VRAM_SHA_TARGET __attribute__((target("sha,sse4.1,ssse3")))
#define VRAM_SHA_INLINE VRAM_SHA_TARGET __attribute__((always_inline)) inline

namespace vram::sha_ni {

/** A state in the order of SHA256RNDS2: words a, b, e, f in one register and c, d, g, h in the other. */
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

/** Computes the next four words of a message schedule. Words t to t+3 replace words t-16 to t-13. */
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

VRAM_SHA_INLINE __m128i round_constants(int quad) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i *>(kRoundConstants + 4 * quad));
}

/** Puts the schedule words of rounds 4 * quad to 4 * quad + 3 into `words[quad % 4]`. */
VRAM_SHA_INLINE void schedule_words(__m128i (&words)[4], const uint8_t *chunk, int quad) {
  if (quad < 4) {
    words[quad] = load_words(chunk, quad);
  } else {
    next_words(words, quad);
  }
}

/**
 * Compresses one chunk of each of kLanes messages. SHA256RNDS2 has a latency of several cycles, so one message leaves
 * the unit idle most of the time. Rounds of independent messages fill the gaps.
 */
template <int kLanes>
VRAM_SHA_INLINE void compress_lanes(State (&states)[kLanes], const uint8_t *const (&chunks)[kLanes]) {
  State working[kLanes];
  __m128i schedule[kLanes][4];
#pragma GCC unroll 4
  for (int lane = 0; lane < kLanes; ++lane) working[lane] = states[lane];

#pragma GCC unroll 16
  for (int quad = 0; quad < 16; ++quad) {
#pragma GCC unroll 4
    for (int lane = 0; lane < kLanes; ++lane) {
      __m128i(&words)[4] = schedule[lane];
      schedule_words(words, chunks[lane], quad);
      four_rounds(working[lane], _mm_add_epi32(words[quad % 4], round_constants(quad)));
    }
  }
#pragma GCC unroll 4
  for (int lane = 0; lane < kLanes; ++lane) states[lane] = plus(states[lane], working[lane]);
}

}  // namespace vram::sha_ni
