/**
 * Sixteen 4096-byte blocks at once with AVX-512: lane i of every register belongs to block i. Its rounds wait for each
 * other and leave the units of the SHA extensions idle, so that work of theirs goes on beside: more blocks, or the long
 * message that the blocks are part of. A lone message is for the SHA extensions alone.
 */
#include "engine.h"
#include "sha256.h"

#if defined(__x86_64__)

// The intrinsics of GCC 12 pass registers whose content does not matter, and warn of it (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include <utility>

#include "sha_ni.h"

#define VRAM_AVX512_TARGET __attribute__((target("avx512f,avx512bw,sha,sse4.1,ssse3")))
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

/**
 * Round first + i of the lanes, whose letters a to h rotate through v: a is in register (16 - i) % 8, b in the next
 * one. The schedule is a ring of 16 words, used up on the way. `beside` does a round's worth of its own work first.
 */
template <int i, bool kFirst, typename Beside>
VRAM_AVX512_INLINE void round(__m512i (&v)[8], __m512i (&schedule)[16], const uint32_t *constants, Beside &beside) {
  beside.template at_round<i>();
  __m512i &word = schedule[i];
  if constexpr (!kFirst) {
    word = add(add(word, schedule[(i + 9) % 16]), add(sigma0(schedule[(i + 1) % 16]), sigma1(schedule[(i + 14) % 16])));
  }
  const __m512i a = v[(16 - i) % 8], b = v[(17 - i) % 8], c = v[(18 - i) % 8], e = v[(20 - i) % 8];
  const __m512i f = v[(21 - i) % 8], g = v[(22 - i) % 8];
  __m512i &d = v[(19 - i) % 8], &h = v[(23 - i) % 8];
  const __m512i constant = _mm512_set1_epi32(static_cast<int>(constants[i]));
  const __m512i t1 = add(add(h, add(word, constant)), add(sum1(e), choice(e, f, g)));
  d = add(d, t1);
  h = add(t1, add(sum0(a), majority(a, b, c)));
  // Keeps the compiler from moving the two kinds of work apart, and from computing the whole schedule first.
  asm volatile("" : "+v"(d), "+v"(h), "+v"(word));
}

template <bool kFirst, typename Beside, int... i>
VRAM_AVX512_INLINE void sixteen_rounds(__m512i (&v)[8], __m512i (&schedule)[16], const uint32_t *constants,
                                       Beside &beside, std::integer_sequence<int, i...>) {
  (round<i, kFirst>(v, schedule, constants, beside), ...);
  beside.after_sixteen();
}

/** Folds one chunk of each lane into the lanes' states. All 64 rounds in a row would not fit the instruction cache. */
template <typename Beside>
VRAM_AVX512_INLINE void compress_lanes(__m512i (&state)[8], __m512i (&schedule)[16], Beside &beside) {
  constexpr auto kSixteen = std::make_integer_sequence<int, 16>();
  __m512i v[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) v[i] = state[i];
  sixteen_rounds<true>(v, schedule, kRoundConstants, beside, kSixteen);
#pragma GCC unroll 1
  for (int first = 16; first < 64; first += 16) {
    sixteen_rounds<false>(v, schedule, kRoundConstants + first, beside, kSixteen);
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

/** Four rounds of one message's chunk by the SHA extensions; the first of the sixteen loads the state, the last adds.
 */
template <int quad>
VRAM_AVX512_INLINE void four_rounds_of(sha_ni::State &state, sha_ni::State &working, __m128i (&words)[4],
                                       const uint8_t *chunk) {
  if constexpr (quad == 0) working = state;
  sha_ni::schedule_words(words, chunk, quad);
  sha_ni::four_rounds(working, _mm_add_epi32(words[quad % 4], sha_ni::round_constants(quad)));
  asm volatile("" : "+x"(working.abef), "+x"(working.cdgh), "+x"(words[quad % 4]));
  if constexpr (quad == 15) state = sha_ni::plus(state, working);
}

/** What goes on beside the lanes. In the time of sixteen rounds of theirs, */
struct Nothing {
  template <int i>
  VRAM_AVX512_INLINE void at_round() {}
  VRAM_AVX512_INLINE void after_sixteen() {}
};

/** … four chunks of one long message, */
class LongMessage {
 public:
  VRAM_AVX512_INLINE LongMessage(const uint32_t *state, const uint8_t *data)
      : state_(sha_ni::load_state(state)), data_(data) {}
  VRAM_AVX512_INLINE void store(uint32_t *state) const { sha_ni::store_state(state_, state); }

  template <int i>
  VRAM_AVX512_INLINE void at_round() {
    const uint8_t *const chunk = data_ + i / 4 * kChunkBytes;
    four_rounds_of<i % 4 * 4>(state_, working_, words_, chunk);
    four_rounds_of<i % 4 * 4 + 1>(state_, working_, words_, chunk);
    four_rounds_of<i % 4 * 4 + 2>(state_, working_, words_, chunk);
    four_rounds_of<i % 4 * 4 + 3>(state_, working_, words_, chunk);
  }
  VRAM_AVX512_INLINE void after_sixteen() { data_ += 4 * kChunkBytes; }

 private:
  sha_ni::State state_, working_;
  __m128i words_[4];
  const uint8_t *data_;
};

/** … or a chunk of each of two blocks: kBlocksBeside of them in the time of the lanes' sixteen. */
class BlockPairs {
 public:
  VRAM_AVX512_INLINE BlockPairs(const uint8_t *blocks, uint8_t *digests) : data_(blocks), digests_(digests) { begin(); }

  template <int quad>
  VRAM_AVX512_INLINE void at_round() {
    four_rounds_of<quad>(states_[0], working_[0], words_[0], data_);
    four_rounds_of<quad>(states_[1], working_[1], words_[1], data_ + kBlockBytes);
  }
  VRAM_AVX512_INLINE void after_sixteen() {
    data_ += kChunkBytes;
    if (++chunks_ == kBlockBytes / kChunkBytes) end();
  }

 private:
  VRAM_AVX512_INLINE void begin() {
    chunks_ = 0;
    states_[0] = states_[1] = sha_ni::load_state(kInitialState);
  }
  VRAM_AVX512_INLINE void end() {
    const uint8_t *const paddings[2] = {kBlockPadding, kBlockPadding};
    sha_ni::compress_lanes<2>(states_, paddings);
    for (const sha_ni::State &state : states_) {
      uint32_t words[8];
      sha_ni::store_state(state, words);
      store_digest(words, digests_);
      digests_ += kDigestBytes;
    }
    data_ += kBlockBytes;
    begin();
  }

  sha_ni::State states_[2], working_[2];
  __m128i words_[2][4];
  const uint8_t *data_;
  uint8_t *digests_;
  size_t chunks_ = 0;
};

constexpr int kBlocksBeside = 8;

template <typename Beside>
VRAM_AVX512_INLINE void hash_sixteen(const uint8_t *blocks, uint8_t *digests, Beside &beside) {
  Nothing nothing;
  __m512i state[8], words[16];
  for (int i = 0; i < 8; ++i) state[i] = _mm512_set1_epi32(static_cast<int>(kInitialState[i]));
  for (size_t offset = 0; offset < kBlockBytes; offset += kChunkBytes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      words[lane] = swap_bytes(_mm512_loadu_si512(blocks + lane * kBlockBytes + offset));
    }
    transpose(words);
    compress_lanes(state, words, beside);
  }
  for (int i = 1; i < 15; ++i) words[i] = _mm512_setzero_si512();
  words[0] = _mm512_set1_epi32(static_cast<int>(0x80000000u));
  words[15] = _mm512_set1_epi32(static_cast<int>(kBlockBytes * 8));
  compress_lanes(state, words, nothing);

  for (int i = 0; i < 8; ++i) words[i] = swap_bytes(state[i]);
  for (int i = 8; i < 16; ++i) words[i] = _mm512_setzero_si512();
  transpose(words);
  for (size_t lane = 0; lane < kLanes; ++lane) {
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(digests + lane * kDigestBytes),
                        _mm512_castsi512_si256(words[lane]));
  }
}

VRAM_AVX512_TARGET void hash_whole_blocks(const uint8_t *blocks, uint64_t count, uint8_t *digests) {
  uint64_t i = 0;
  for (; i + kLanes + kBlocksBeside <= count; i += kLanes + kBlocksBeside) {
    BlockPairs pairs(blocks + (i + kLanes) * kBlockBytes, digests + (i + kLanes) * kDigestBytes);
    hash_sixteen(blocks + i * kBlockBytes, digests + i * kDigestBytes, pairs);
  }
  Nothing nothing;
  for (; i + kLanes <= count; i += kLanes) {
    hash_sixteen(blocks + i * kBlockBytes, digests + i * kDigestBytes, nothing);
  }
  x86_engine()->hash_whole_blocks(blocks + i * kBlockBytes, count - i, digests + i * kDigestBytes);
}

VRAM_AVX512_TARGET void compress_and_hash_blocks(uint32_t *state, const uint8_t *blocks, uint64_t count,
                                                 uint8_t *digests) {
  const uint64_t in_lanes = count / kLanes * kLanes;
  for (uint64_t i = 0; i < in_lanes; i += kLanes) {
    LongMessage message(state, blocks + i * kBlockBytes);
    hash_sixteen(blocks + i * kBlockBytes, digests + i * kDigestBytes, message);
    message.store(state);
  }
  x86_engine()->compress_and_hash_blocks(state, blocks + in_lanes * kBlockBytes, count - in_lanes,
                                         digests + in_lanes * kDigestBytes);
}

}  // namespace

const HashEngine *avx512_engine() {
  if (x86_engine() == nullptr || __builtin_cpu_supports("avx512bw") == 0) return nullptr;
  static const HashEngine engine = {x86_engine()->compress, hash_whole_blocks, compress_and_hash_blocks};
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
