/** Runs a grid on one team of host threads. The team runs the thread blocks one after another. */
#pragma once

#include <functional>

#include "kernel_module.h"

namespace cuda_sim {

/**
 * Calls `body` in every thread of every thread block, with the built-in variables set. The threads of a thread block
 * run concurrently. Concurrent calls run one grid after another. Returns false, without calling `body`, if the host
 * cannot start the threads.
 */
bool run_grid(Dimensions grid, unsigned block_threads, const std::function<void()> &body);

}  // namespace cuda_sim
