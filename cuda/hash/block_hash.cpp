#include <cstring>

#include "engine.h"
#include "sha256.h"

namespace vram {

// clang-format off
const uint8_t kBlockPadding[kChunkBytes] = {
    0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0};
// clang-format on

void hash_blocks(const uint8_t *input, uint64_t bytes, uint8_t *digests) {
  const uint64_t whole = bytes / kBlockBytes;
  best_engine().hash_whole_blocks(input, whole, digests);

  const size_t rest = static_cast<size_t>(bytes % kBlockBytes);
  if (rest == 0) return;
  uint8_t last[kBlockBytes] = {};
  std::memcpy(last, input + whole * kBlockBytes, rest);
  best_engine().hash_whole_blocks(last, 1, digests + whole * kDigestBytes);
}

}  // namespace vram
