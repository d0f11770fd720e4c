/**
 * The CUDA C++ that the kernels use and that a host compiler lacks: qualifiers, vector types, built-in variables and
 * the barrier. Include it before a .cu file.
 *
 * Each thread of a kernel is a fiber, which ThreadSanitizer sees as a thread, so it detects data races in the kernel
 * source. A __shared__ variable is one static object, because run_grid runs one thread block at a time.
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

/** Four of the eight bytes of `high` and `low`, byte 0 the lowest of `low`; a hex digit of `selector` selects each. */
inline unsigned __byte_perm(unsigned low, unsigned high, unsigned selector) {
  const uint64_t bytes = uint64_t{high} << 32 | low;
  unsigned result = 0;
  for (unsigned i = 0; i < 4; ++i) {
    result |= static_cast<unsigned>(bytes >> (selector >> (4 * i) & 7) * 8 & 0xff) << (8 * i);
  }
  return result;
}

extern uint3 threadIdx;
extern uint3 blockIdx;
extern uint3 blockDim;
extern uint3 gridDim;

void __syncthreads();
