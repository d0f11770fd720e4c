#include <algorithm>
#include <iterator>

#include "engine.h"
#include "sha256.h"

namespace vram {
namespace {

uint32_t rotate_right(uint32_t value, int bits) {
  return (value >> bits) | (value << (32 - bits));
}

uint32_t load_big_endian(const uint8_t *bytes) {
  return static_cast<uint32_t>(bytes[0]) << 24 | static_cast<uint32_t>(bytes[1]) << 16 |
         static_cast<uint32_t>(bytes[2]) << 8 | static_cast<uint32_t>(bytes[3]);
}

/** FIPS 180-4, section 6.2.2, for one chunk. */
void compress_chunk(uint32_t *state, const uint8_t *chunk) {
  uint32_t schedule[64];
  for (size_t t = 0; t < 16; ++t) schedule[t] = load_big_endian(chunk + 4 * t);
  for (size_t t = 16; t < 64; ++t) {
    const uint32_t w15 = schedule[t - 15];
    const uint32_t w2 = schedule[t - 2];
    const uint32_t sigma0 = rotate_right(w15, 7) ^ rotate_right(w15, 18) ^ (w15 >> 3);
    const uint32_t sigma1 = rotate_right(w2, 17) ^ rotate_right(w2, 19) ^ (w2 >> 10);
    schedule[t] = schedule[t - 16] + sigma0 + schedule[t - 7] + sigma1;
  }

  uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
  for (size_t t = 0; t < 64; ++t) {
    const uint32_t sum1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
    const uint32_t choice = (e & f) ^ (~e & g);
    const uint32_t t1 = h + sum1 + choice + kRoundConstants[t] + schedule[t];
    const uint32_t sum0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
    const uint32_t majority = (a & b) ^ (a & c) ^ (b & c);
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + sum0 + majority;
  }
  const uint32_t working[8] = {a, b, c, d, e, f, g, h};
  for (size_t i = 0; i < 8; ++i) state[i] += working[i];
}

void compress(uint32_t *state, const uint8_t *data, size_t chunks) {
  for (size_t i = 0; i < chunks; ++i) compress_chunk(state, data + i * kChunkBytes);
}

void hash_whole_blocks(const uint8_t *blocks, uint64_t count, uint8_t *digests) {
  for (uint64_t i = 0; i < count; ++i) {
    uint32_t state[8];
    std::copy(std::begin(kInitialState), std::end(kInitialState), state);
    compress(state, blocks + i * kBlockBytes, kBlockBytes / kChunkBytes);
    compress(state, kBlockPadding, 1);
    store_digest(state, digests + i * kDigestBytes);
  }
}

void compress_and_hash_blocks(uint32_t *state, const uint8_t *blocks, uint64_t count, uint8_t *digests) {
  compress(state, blocks, count * kBlockBytes / kChunkBytes);
  hash_whole_blocks(blocks, count, digests);
}

}  // namespace

const HashEngine &portable_engine() {
  static const HashEngine engine = {compress, hash_whole_blocks, compress_and_hash_blocks, false};
  return engine;
}

}  // namespace vram
