/**
 * The kernels as a module for the simulator: each kernel's source, compiled for the host, and what a device's driver
 * knows of it from elsewhere (parameters, launch bounds) or finds out by fault (the memory it touches).
 */
#include <algorithm>

#include "shim/cuda_shim.h"
#include "shim/kernel_module.h"
#include "shim/thread_block.h"
// The shim comes first: it defines what the kernel's source takes for granted.
#include "tree.cu"

namespace {

using cuda_sim::Arguments;
using cuda_sim::Dimensions;
using cuda_sim::Kernel;
using cuda_sim::KernelModule;
using cuda_sim::Range;

constexpr size_t kTreeLevelParameterBytes[] = {sizeof(uint8_t *), sizeof(uint64_t), sizeof(uint8_t *)};

size_t tree_level_ranges(const Arguments &arguments, unsigned grid_x, Range *out_ranges) {
  const uint64_t input_bytes = arguments.values[1];
  const uint64_t all_blocks = input_bytes / kBlockBytes + (input_bytes % kBlockBytes != 0);
  const uint64_t blocks = std::min<uint64_t>(all_blocks, uint64_t{grid_x} * kThreads);
  const uint64_t read_bytes = std::min(input_bytes, blocks * kBlockBytes);
  out_ranges[0] = {arguments.values[0], read_bytes, kQuadBytes, false};
  out_ranges[1] = {arguments.values[2], blocks * kDigestBytes, kQuadBytes, true};
  return 2;
}

bool tree_level_run(const Arguments &arguments, Dimensions grid) {
  const auto *input = reinterpret_cast<const uint8_t *>(arguments.values[0]);
  auto *output = reinterpret_cast<uint8_t *>(arguments.values[2]);
  return cuda_sim::run_grid(grid, kThreads, [&] { vram_tree_level(input, arguments.values[1], output); });
}

constexpr Kernel kKernels[] = {
    {"vram_tree_level", kThreads, 3, kTreeLevelParameterBytes, tree_level_ranges, tree_level_run},
};

}  // namespace

extern "C" {
extern __attribute__((visibility("default"))) const KernelModule cuda_sim_kernel_module;
const KernelModule cuda_sim_kernel_module = {cuda_sim::kModuleVersion, 1, kKernels};
}
