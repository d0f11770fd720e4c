/** Runs a grid on the calling host thread. Its thread blocks run one after another. */
#pragma once

#include <functional>

#include "kernel_module.h"

namespace cuda_sim {

/**
 * Calls `body` in every thread of every thread block, with the built-in variables set. The threads of a thread block
 * take turns, each from one barrier to the next. Concurrent calls run one grid after another. Returns false, without
 * calling `body`, if the host has no memory for the threads. Aborts if only some threads of a block reach a barrier.
 */
bool run_grid(Dimensions grid, unsigned block_threads, const std::function<void()> &body);

}  // namespace cuda_sim
