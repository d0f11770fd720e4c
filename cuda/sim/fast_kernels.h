/**
 * The `fast` engine: what each kernel computes, computed by the CPU's own means on all cores. It says nothing about the
 * kernel; tests hold the two equal.
 */
#pragma once

#include <string_view>

#include "../kernels/shim/kernel_module.h"

namespace cuda_sim {

/** Computes what a launch of `grid_x` thread blocks would. */
using FastKernel = void (*)(const Arguments &arguments, unsigned grid_x);

/** Null for a kernel that the host knows nothing of. */
FastKernel find_fast_kernel(std::string_view name);

}  // namespace cuda_sim
