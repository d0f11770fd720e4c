/**
 * The kernels compiled for the host, as a module that the simulator loads. In addition to the code, the module describes each
 * kernel: its parameters, its thread count and the device memory that a launch accesses.
 */
#include <algorithm>

#include "shim/cuda_shim.h"
#include "shim/grid.h"
#include "shim/kernel_module.h"
// tree.cu comes last because it uses the definitions of the shim.
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
  const uint64_t blocks = std::min(block_count(input_bytes), uint64_t{grid_x} * kThreads);
  const uint64_t read_bytes = std::min(input_bytes, blocks * kBlockBytes);
  out_ranges[0] = {arguments.values[0], read_bytes, kVectorBytes, false};
  out_ranges[1] = {arguments.values[2], blocks * kDigestBytes, kVectorBytes, true};
  return 2;
}

bool tree_level_run(const Arguments &arguments, Dimensions grid) {
  const auto *input = reinterpret_cast<const uint8_t *>(arguments.values[0]);
  auto *output = reinterpret_cast<uint8_t *>(arguments.values[2]);
  return cuda_sim::run_grid(grid, kThreads, [&] { vram_tree_level(input, arguments.values[1], output); });
}

constexpr Kernel kKernels[] = {
    {kKernelName, kThreads, 3, kTreeLevelParameterBytes, tree_level_ranges, tree_level_run},
};

}  // namespace

extern "C" {
extern __attribute__((visibility("default"))) const KernelModule cuda_sim_kernel_module;
const KernelModule cuda_sim_kernel_module = {cuda_sim::kModuleVersion, 1, kKernels};
}
