/** Runs a grid with one team of host threads, which walks over the thread blocks. */
#pragma once

#include <functional>

#include "kernel_module.h"

namespace cuda_sim {

/**
 * Calls `body` for every thread of every thread block, the built-in variables set. All threads of a block run at once;
 * blocks follow each other. One grid at a time: a second call waits. False where the host gives no threads; then
 * nothing has run.
 */
bool run_grid(Dimensions grid, unsigned block_threads, const std::function<void()> &body);

}  // namespace cuda_sim
