/**
 * The interface between the simulator and a module of kernels compiled for the host. A module is a shared object that
 * exports one KernelModule as kModuleSymbol. The simulator accepts it where a real driver accepts a fatbin.
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

/** The arguments of a launch, each zero-extended to 8 bytes. */
struct Arguments {
  uint64_t values[kMaxParameters];
};

/** Device memory that a launch accesses. */
struct Range {
  uint64_t address;
  uint64_t bytes;
  uint64_t alignment_bytes;
  bool writes;
};

struct Kernel {
  const char *name;
  unsigned block_threads;        /* the only valid block dimension in x; y and z are 1 */
  size_t parameter_count;        /* at most kMaxParameters */
  const size_t *parameter_bytes; /* each at most 8 */

  /** Writes the ranges that a launch of `grid_x` thread blocks accesses, at most kMaxRanges. Returns their number. */
  size_t (*ranges)(const Arguments &arguments, unsigned grid_x, Range *out_ranges);

  /** Runs the whole grid. Returns false, without running any of it, if the host has no memory for the threads. */
  bool (*run)(const Arguments &arguments, Dimensions grid);
};

struct KernelModule {
  uint32_t version;
  uint32_t kernel_count;
  const Kernel *kernels;
};

}  // namespace cuda_sim
