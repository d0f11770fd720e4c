/** Kernels of the probes: single accesses, and a read of memory at the device's full bandwidth. */
#include <stdint.h>

extern "C" __global__ void probe_store(uint32_t *target, uint32_t value) {
  *target = value;
}

extern "C" __global__ void probe_atomic(uint32_t *target, uint32_t value) {
  atomicXor(target, value);
}

extern "C" __global__ void probe_load(const uint32_t *source, uint32_t *target) {
  *target = *source;
}

/** Writes `rounds` times, with a pause that keeps the kernel running for a while. */
extern "C" __global__ void probe_store_slowly(uint32_t *target, uint32_t rounds) {
  for (uint32_t i = 0; i < rounds; ++i) {
    *reinterpret_cast<volatile uint32_t *>(target) = i;
    __nanosleep(1000);
  }
}

/** Reads all vectors once, as a layer of a decoder reads its weights. The target keeps the loads alive. */
extern "C" __global__ void probe_read_all(const uint4 *source, uint64_t vectors, uint32_t *target) {
  const uint64_t stride = static_cast<uint64_t>(gridDim.x) * blockDim.x;
  uint32_t sum = 0;
#pragma unroll 8
  for (uint64_t i = static_cast<uint64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < vectors; i += stride) {
    const uint4 vector = source[i];
    sum ^= vector.x ^ vector.y ^ vector.z ^ vector.w;
  }
  if (sum == 0x9e3779b9) *target = sum;
}
