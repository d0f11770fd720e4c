#include "fast_kernels.h"

#include <algorithm>

#include "../hash/sha256.h"
#include "../kernels/tree_level.h"
#include "worker_pool.h"

namespace cuda_sim {
namespace {

using namespace vram;

static_assert(tree_level::kBlockBytes == kBlockBytes && tree_level::kDigestBytes == kDigestBytes);

constexpr uint64_t kThreadBlockBytes = tree_level::kThreads * kBlockBytes;
constexpr uint64_t kTaskBytes = 4 * kThreadBlockBytes;

void run_tree_level(const Arguments &arguments, unsigned grid_x) {
  const auto *input = reinterpret_cast<const uint8_t *>(arguments.values[0]);
  const uint64_t bytes = std::min(arguments.values[1], grid_x * kThreadBlockBytes);
  auto *output = reinterpret_cast<uint8_t *>(arguments.values[2]);
  const uint64_t tasks = bytes / kTaskBytes + (bytes % kTaskBytes != 0);
  worker_pool().run(tasks, [&](uint64_t task) {
    const uint64_t offset = task * kTaskBytes;
    hash_blocks(input + offset, std::min(kTaskBytes, bytes - offset), output + offset / kBlockBytes * kDigestBytes);
  });
}

}  // namespace

FastKernel find_fast_kernel(std::string_view name) {
  return name == tree_level::kKernelName ? run_tree_level : nullptr;
}

}  // namespace cuda_sim
