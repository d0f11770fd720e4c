/**
 * The `fast` engine: computes the results of each kernel with SHA-256 for the CPU, on all cores. It does not run the
 * kernel source, so its speed says nothing about the kernel. Tests compare its results with those of the source.
 */
#pragma once

#include <string_view>

#include "../kernels/shim/kernel_module.h"

namespace cuda_sim {

/** Computes the results of a launch of `grid_x` thread blocks. The addresses in `arguments` are host addresses. */
using FastKernel = void (*)(const Arguments &arguments, unsigned grid_x);

/** Null if the `fast` engine does not implement the kernel. */
FastKernel find_fast_kernel(std::string_view name);

}  // namespace cuda_sim
