/**
 * The seam between the simulator and a module of kernels compiled for the host. A module is a shared object that
 * exports one KernelModule under the name kModuleSymbol; the simulator loads it where a device would load a fatbin.
 */
#pragma once

#include <cstddef>
#include <cstdint>

namespace cuda_sim {

constexpr uint32_t kModuleVersion = 1;
constexpr char kModuleSymbol[] = "cuda_sim_kernel_module";
constexpr size_t kMaxParameters = 8;
constexpr size_t kMaxRanges = 4;

struct Dimensions {
  unsigned x, y, z;
};

/** Copies of a launch's arguments, 8 bytes each, zero-extended. */
struct Arguments {
  uint64_t values[kMaxParameters];
};

/** Device memory that a launch touches. */
struct Range {
  uint64_t address;
  uint64_t bytes;
  uint64_t alignment_bytes;
  bool writes;
};

struct Kernel {
  const char *name;
  unsigned block_threads;        /* a thread block is exactly so many threads in x */
  size_t parameter_count;        /* at most kMaxParameters */
  const size_t *parameter_bytes; /* each at most 8 */

  /** Writes what a launch of `grid_x` thread blocks reads and writes, and returns how many ranges that is. */
  size_t (*ranges)(const Arguments &arguments, unsigned grid_x, Range *out_ranges);

  /** Runs the kernel's source; returns when the grid is done, false where the host gives no threads. */
  bool (*run)(const Arguments &arguments, Dimensions grid);
};

struct KernelModule {
  uint32_t version;
  uint32_t kernel_count;
  const Kernel *kernels;
};

}  // namespace cuda_sim
