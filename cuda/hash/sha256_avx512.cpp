/**
 * Hashes sixteen 4096-byte blocks at once with AVX-512. Lane i of every register belongs to block i.
 *
 * The AVX-512 rounds leave the SHA extensions of the CPU idle. Side work keeps them busy: more blocks, or the long
 * message that contains the blocks. A message without its blocks runs only on the SHA extensions.
 *
 * The SHA instructions have only the legacy SSE encoding. On Intel CPUs each switch between that encoding and dirty
 * 512-bit registers costs many cycles, so that side work is about 100 times slower than none (measured on a Sapphire
 * Rapids CPU). The engine without side work is for those CPUs.
 */
#include "engine.h"
#include "sha256.h"

#if defined(__x86_64__)

// GCC 12 warns about registers that its own intrinsics leave uninitialized on purpose (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#include <algorithm>
#include <utility>

#include "sha_ni.h"

#define VRAM_AVX512_TARGET __attribute__((target("avx512f,avx512bw,sha,sse4.1,ssse3")))
#define VRAM_AVX512_INLINE VRAM_AVX512_TARGET __attribute__((always_inline)) inline

namespace vram {
namespace {

constexpr size_t kLanes = 16;

VRAM_AVX512_INLINE __m512i add(__m512i a, __m512i b) {
  return _mm512_add_epi32(a, b);
}

VRAM_AVX512_INLINE __m512i xor3(__m512i a, __m512i b, __m512i c) {
  return _mm512_ternarylogic_epi32(a, b, c, 0x96);
}

/** The functions of FIPS 180-4, section 4.1.2, on each lane. */
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
 * Runs one round on all lanes, after its share of the side work. `i` is the number of the round, modulo 16. The working
 * variables a to h rotate through v: a is v[(16 - i) % 8], b the next one. `schedule` is a ring buffer of 16 words.
 */
template <int i, bool kFirst, typename SideWork>
VRAM_AVX512_INLINE void round(__m512i (&v)[8], __m512i (&schedule)[16], const uint32_t *constants,
                              SideWork &side_work) {
  side_work.template at_round<i>();
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
  // Prevents the compiler from separating the two kinds of work, and from computing the whole schedule first.
  asm volatile("" : "+v"(d), "+v"(h), "+v"(word));
}

template <bool kFirst, typename SideWork, int... i>
VRAM_AVX512_INLINE void sixteen_rounds(__m512i (&v)[8], __m512i (&schedule)[16], const uint32_t *constants,
                                       SideWork &side_work, std::integer_sequence<int, i...>) {
  (round<i, kFirst>(v, schedule, constants, side_work), ...);
  side_work.after_sixteen();
}

/** Compresses one chunk per lane. A loop of 16 rounds fits the instruction cache; 64 unrolled rounds would not. */
template <typename SideWork>
VRAM_AVX512_INLINE void compress_lanes(__m512i (&state)[8], __m512i (&schedule)[16], SideWork &side_work) {
  constexpr auto kSixteen = std::make_integer_sequence<int, 16>();
  __m512i v[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) v[i] = state[i];
  sixteen_rounds<true>(v, schedule, kRoundConstants, side_work, kSixteen);
#pragma GCC unroll 1
  for (int first = 16; first < 64; first += 16) {
    sixteen_rounds<false>(v, schedule, kRoundConstants + first, side_work, kSixteen);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) state[i] = add(state[i], v[i]);
}

/** Transposes 16 registers of 16 words. */
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

/** Runs four rounds of one message with the SHA extensions. Quad 0 starts a chunk, and quad 15 ends it. */
template <int quad>
VRAM_AVX512_INLINE void four_rounds_of(sha_ni::State &state, sha_ni::State &working, __m128i (&words)[4],
                                       const uint8_t *chunk) {
  if constexpr (quad == 0) working = state;
  sha_ni::schedule_words(words, chunk, quad);
  sha_ni::four_rounds(working, _mm_add_epi32(words[quad % 4], sha_ni::round_constants(quad)));
  asm volatile("" : "+x"(working.abef), "+x"(working.cdgh), "+x"(words[quad % 4]));
  if constexpr (quad == 15) state = sha_ni::plus(state, working);
}

/** Side work: none. */
struct NoSideWork {
  template <int i>
  VRAM_AVX512_INLINE void at_round() {}
  VRAM_AVX512_INLINE void after_sixteen() {}
};

/** Side work: four chunks of one long message per sixteen rounds of the lanes. */
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

/** Side work: one chunk of each of two blocks per sixteen rounds. kSideBlocks blocks take as long as the lanes'
 * sixteen. */
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

constexpr size_t kSideBlocks = 8;

/**
 * Hashes blocks 0 to 15. If kNextBlocks is not 0, the lanes read ahead, and block 0 is followed by block kNextBlocks. The
 * CPU's own prefetchers follow fewer than sixteen streams: from memory, a core of an AMD EPYC (family 26) hashes at 0.9 of
 * its rate in cache if the lanes read ahead, and at 0.8 otherwise.
 */
template <size_t kNextBlocks, typename SideWork>
VRAM_AVX512_INLINE void hash_sixteen(const uint8_t *blocks, uint8_t *digests, SideWork &side_work) {
  NoSideWork none;
  __m512i state[8], words[16];
  for (int i = 0; i < 8; ++i) state[i] = _mm512_set1_epi32(static_cast<int>(kInitialState[i]));
  for (size_t offset = 0; offset < kBlockBytes; offset += kChunkBytes) {
    constexpr size_t kAheadBytes = 320;
    const size_t ahead = offset + kAheadBytes;
    const uint8_t *const later = blocks + (ahead < kBlockBytes ? ahead : ahead + (kNextBlocks - 1) * kBlockBytes);
    for (size_t lane = 0; lane < kLanes; ++lane) {
      words[lane] = swap_bytes(_mm512_loadu_si512(blocks + lane * kBlockBytes + offset));
    }
    for (size_t lane = 0; kNextBlocks != 0 && lane < kLanes; ++lane) _mm_prefetch(later + lane * kBlockBytes, _MM_HINT_T0);
    transpose(words);
    compress_lanes(state, words, side_work);
  }
  for (int i = 1; i < 15; ++i) words[i] = _mm512_setzero_si512();
  words[0] = _mm512_set1_epi32(static_cast<int>(0x80000000u));
  words[15] = _mm512_set1_epi32(static_cast<int>(kBlockBytes * 8));
  compress_lanes(state, words, none);

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
  for (; i + kLanes + kSideBlocks <= count; i += kLanes + kSideBlocks) {
    BlockPairs pairs(blocks + (i + kLanes) * kBlockBytes, digests + (i + kLanes) * kDigestBytes);
    hash_sixteen<kLanes + kSideBlocks>(blocks + i * kBlockBytes, digests + i * kDigestBytes, pairs);
  }
  NoSideWork none;
  for (; i + kLanes <= count; i += kLanes) {
    hash_sixteen<kLanes>(blocks + i * kBlockBytes, digests + i * kDigestBytes, none);
  }
  x86_engine()->hash_whole_blocks(blocks + i * kBlockBytes, count - i, digests + i * kDigestBytes);
}

VRAM_AVX512_TARGET void compress_and_hash_blocks(uint32_t *state, const uint8_t *blocks, uint64_t count,
                                                 uint8_t *digests) {
  const uint64_t in_lanes = count / kLanes * kLanes;
  for (uint64_t i = 0; i < in_lanes; i += kLanes) {
    LongMessage message(state, blocks + i * kBlockBytes);
    hash_sixteen<0>(blocks + i * kBlockBytes, digests + i * kDigestBytes, message);
    message.store(state);
  }
  x86_engine()->compress_and_hash_blocks(state, blocks + in_lanes * kBlockBytes, count - in_lanes,
                                         digests + in_lanes * kDigestBytes);
}

/** Without side work. The compiler clears the 512-bit registers before it calls the engine for the rest. */
VRAM_AVX512_TARGET void hash_in_lanes(const uint8_t *blocks, uint64_t count, uint8_t *digests) {
  NoSideWork none;
  uint64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    hash_sixteen<0>(blocks + i * kBlockBytes, digests + i * kDigestBytes, none);
  }
  x86_engine()->hash_whole_blocks(blocks + i * kBlockBytes, count - i, digests + i * kDigestBytes);
}

/** Two passes over sixteen blocks at a time, so that the second pass reads them from the cache. */
void compress_then_hash(uint32_t *state, const uint8_t *blocks, uint64_t count, uint8_t *digests) {
  for (uint64_t i = 0; i < count; i += kLanes) {
    const uint64_t part = std::min<uint64_t>(kLanes, count - i);
    x86_engine()->compress(state, blocks + i * kBlockBytes, part * kBlockBytes / kChunkBytes);
    hash_in_lanes(blocks + i * kBlockBytes, part, digests + i * kDigestBytes);
  }
}

bool has_avx512() {
  return x86_engine() != nullptr && __builtin_cpu_supports("avx512bw") != 0;
}

}  // namespace

const HashEngine *avx512_engine() {
  if (!has_avx512()) return nullptr;
  static const HashEngine engine = {x86_engine()->compress, hash_whole_blocks, compress_and_hash_blocks, true};
  return &engine;
}

const HashEngine *avx512_lanes_engine() {
  if (!has_avx512()) return nullptr;
  static const HashEngine engine = {x86_engine()->compress, hash_in_lanes, compress_then_hash, false};
  return &engine;
}

const HashEngine *faster_avx512_engine() {
  return __builtin_cpu_is("amd") ? avx512_engine() : avx512_lanes_engine();
}

}  // namespace vram

#else

namespace vram {
const HashEngine *avx512_engine() {
  return nullptr;
}
const HashEngine *avx512_lanes_engine() {
  return nullptr;
}
const HashEngine *faster_avx512_engine() {
  return nullptr;
}
}  // namespace vram

#endif
