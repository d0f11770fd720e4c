#include "fast_kernels.h"

#include <algorithm>

#include "../hash/sha256.h"
#include "worker_pool.h"

namespace cuda_sim {
namespace {

constexpr uint64_t kThreadBlockBytes = 64 * vram::kBlockBytes;
constexpr uint64_t kPieceBytes = 4 * kThreadBlockBytes;

void tree_level(const Arguments &arguments, unsigned grid_x) {
  const auto *input = reinterpret_cast<const uint8_t *>(arguments.values[0]);
  const uint64_t bytes = std::min(arguments.values[1], grid_x * kThreadBlockBytes);
  auto *output = reinterpret_cast<uint8_t *>(arguments.values[2]);
  const uint64_t pieces = bytes / kPieceBytes + (bytes % kPieceBytes != 0);
  worker_pool().run(pieces, [&](uint64_t piece) {
    const uint64_t offset = piece * kPieceBytes;
    vram::hash_blocks(input + offset, std::min(kPieceBytes, bytes - offset),
                      output + offset / vram::kBlockBytes * vram::kDigestBytes);
  });
}

}  // namespace

FastKernel find_fast_kernel(std::string_view name) {
  return name == "vram_tree_level" ? tree_level : nullptr;
}

}  // namespace cuda_sim
