#include "engine.h"
#include "sha256.h"

#if defined(__x86_64__) || defined(__i386__)

#include <cpuid.h>

#include "sha_ni.h"

namespace vram {
namespace {

using namespace sha_ni;

/** Compresses one chunk into the states of two messages, with one schedule and two chains of rounds. */
VRAM_SHA_INLINE void compress_shared(State &first, State &second, const uint8_t *chunk) {
  State a = first, b = second;
  __m128i words[4];
#pragma GCC unroll 16
  for (int quad = 0; quad < 16; ++quad) {
    schedule_words(words, chunk, quad);
    const __m128i sum = _mm_add_epi32(words[quad % 4], round_constants(quad));
    // The chains alternate, so that each fills the latency of the other.
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
  static const HashEngine engine = {compress, hash_whole_blocks, compress_and_hash_blocks, true};
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
