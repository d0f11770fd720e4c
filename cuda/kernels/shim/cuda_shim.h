/**
 * What CUDA C++ has and the host's compiler lacks, as far as the kernels use it: qualifiers, built-in variables, vector
 * types, the barrier. The Makefile includes it before a .cu file. A thread of the kernel is a thread of the host, and
 * __syncthreads a real barrier, so that a race in the kernel's source is a race to ThreadSanitizer.
 *
 * __shared__ is one static object: host_module.cpp runs one thread block at a time.
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
