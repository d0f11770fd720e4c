#include "sha256.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "engine.h"

namespace vram {

const uint32_t kRoundConstants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

const HashEngine &best_engine() {
  static const HashEngine &engine = faster_avx512_engine() != nullptr ? *faster_avx512_engine()
                                    : x86_engine() != nullptr         ? *x86_engine()
                                                                      : portable_engine();
  return engine;
}

Sha256::Sha256() {
  std::copy(std::begin(kInitialState), std::end(kInitialState), state_);
}

void Sha256::update(const void *data, size_t bytes) {
  if (bytes == 0) return;
  const auto *input = static_cast<const uint8_t *>(data);
  const size_t held = total_bytes_ % kChunkBytes;
  total_bytes_ += bytes;

  if (held != 0) {
    const size_t taken = std::min(kChunkBytes - held, bytes);
    std::memcpy(tail_ + held, input, taken);
    if (held + taken < kChunkBytes) return;
    best_engine().compress(state_, tail_, 1);
    input += taken;
    bytes -= taken;
  }
  const size_t chunks = bytes / kChunkBytes;
  if (chunks != 0) best_engine().compress(state_, input, chunks);
  const size_t rest = bytes % kChunkBytes;
  if (rest != 0) std::memcpy(tail_, input + chunks * kChunkBytes, rest);
}

void Sha256::update_and_hash_blocks(const uint8_t *blocks, uint64_t count, uint8_t *digests) {
  if (total_bytes_ % kChunkBytes != 0) {
    update(blocks, count * kBlockBytes);
    best_engine().hash_whole_blocks(blocks, count, digests);
    return;
  }
  total_bytes_ += count * kBlockBytes;
  best_engine().compress_and_hash_blocks(state_, blocks, count, digests);
}

bool one_pass_costs_little() {
  return best_engine().interleaves;
}

void Sha256::finish(uint8_t *digest) {
  uint8_t padding[2 * kChunkBytes] = {};
  const size_t held = total_bytes_ % kChunkBytes;
  if (held != 0) std::memcpy(padding, tail_, held);
  padding[held] = 0x80;
  const size_t chunks = held + 1 + sizeof(uint64_t) > kChunkBytes ? 2 : 1;
  const uint64_t bits = total_bytes_ * 8;
  for (size_t i = 0; i < 8; ++i) padding[chunks * kChunkBytes - 1 - i] = static_cast<uint8_t>(bits >> (8 * i));
  best_engine().compress(state_, padding, chunks);
  store_digest(state_, digest);
}

}  // namespace vram
