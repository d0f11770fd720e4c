/**
 * The CUDA C++ that the kernels use and that a host compiler lacks: qualifiers, vector types, built-in variables and
 * the barrier. Include it before a .cu file.
 *
 * Each thread of a kernel is a host thread, and __syncthreads is a real barrier, so ThreadSanitizer detects data races
 * in the kernel source. A __shared__ variable is one static object, because run_grid runs one thread block at a time.
 */
#pragma once

#include <cstdint>

#define __global__
#define __device__
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(threads)

struct uint3 {
  unsigned x, y, z;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
  return {x, y, z, w};
}

extern thread_local uint3 threadIdx;
extern thread_local uint3 blockIdx;
extern thread_local uint3 blockDim;
extern thread_local uint3 gridDim;

void __syncthreads();
