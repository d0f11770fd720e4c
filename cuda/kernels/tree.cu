/**
 * vram_tree_level: one level of an fs-verity tree, computed on the GPU.
 *
 * A shard's digest is its fs-verity digest: a Merkle tree with SHA-256 (FIPS 180-4), 4096-byte blocks and no salt. See
 * Documentation/filesystems/fsverity.rst in the Linux kernel.
 *
 *   data      4096-byte blocks; zeros pad the last one
 *   level 0   the SHA-256 of each data block, 32 bytes each, in order; 128 of them fill a 4096-byte block
 *   level n   the SHA-256 of each block of level n - 1
 *   root      the SHA-256 of the only block of the top level
 *
 * One launch computes one level. libvram launches the kernel for levels 0 and 1; the host computes the small levels
 * above and the descriptor (cuda/lib/tree.h).
 *
 * Threads. Thread i of the grid hashes block i. SHA-256 is sequential within a message, so blocks are the only source
 * of parallelism.
 *
 * Shared memory. If each thread read its own block from global memory, neighboring threads would read 4096 bytes apart.
 * Instead, the 64 threads of a thread block load a tile together: the next 128 bytes of each of their 64 blocks. Eight
 * neighboring threads load the 128 contiguous bytes of a row. Each thread then hashes its own row. Rows start 144 bytes
 * apart: shared memory serves 16-byte accesses eight threads at a time, and this stride spreads their rows over all 32
 * banks. The tile takes 64 * 144 = 9216 bytes.
 *
 * Padding. A chunk is one of SHA-256's 64-byte message blocks. A 4096-byte block is 64 chunks; the 65th holds the
 * padding and is always the same. The compiler folds the message schedule of this chunk into the round constants.
 *
 * Pipes. Logic and shifts of SHA-256 run on the ALU pipe of an SM, which limits the kernel. Half of the additions run on
 * the multiplier pipe instead, as x * 1 + y. The 1 is gridDim.y, so that the compiler cannot remove the multiplication.
 *
 * The source is plain CUDA C++, so that host_module.cpp can compile it for the host.
 */
#include <stdint.h>

#include "tree_level.h"

namespace {

using namespace vram::tree_level;

constexpr unsigned kVectorBytes = sizeof(uint4);
constexpr unsigned kRowBytes = 128;
constexpr unsigned kRowVectors = kRowBytes / kVectorBytes;
constexpr unsigned kRowStrideVectors = kRowVectors + 1;
constexpr unsigned kRowsPerLoad = kThreads / kRowVectors; /* rows that the thread block loads at once */
constexpr unsigned kChunkVectors = 64 / kVectorBytes;
constexpr unsigned kRounds = 64;

// The unrolled rounds index this with constants, so the compiler emits no loads from it.
__device__ const uint32_t kRoundConstants[kRounds] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

__device__ __forceinline__ uint32_t rotate_right(uint32_t value, int bits) {
  return (value >> bits) | (value << (32 - bits));
}

__device__ __forceinline__ uint32_t swap_bytes(uint32_t value) {
  return __byte_perm(value, 0, 0x0123);
}

/** Swaps the bytes within each of the four words. */
__device__ __forceinline__ uint4 swap_bytes(uint4 words) {
  return make_uint4(swap_bytes(words.x), swap_bytes(words.y), swap_bytes(words.z), swap_bytes(words.w));
}

/** Adds on the multiplier pipe if `kOnMultiplier`. From sm_100 on, no pipe multiplies faster than the ALU pipe adds. */
template <bool kOnMultiplier>
__device__ __forceinline__ uint32_t add(uint32_t x, uint32_t y) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ < 1000
  if (kOnMultiplier) return x * gridDim.y + y;
#endif
  return x + y;
}

/**
 * FIPS 180-4, section 6.2.2. `schedule` holds the chunk as 16 words. The rounds overwrite it as a ring buffer, so that
 * the 64 words of the message schedule stay in 16 registers. Which sums use add() was chosen by measurements on an H200.
 */
template <bool kOnMultiplier>
__device__ __forceinline__ void compress(uint32_t (&state)[8], uint32_t (&schedule)[16]) {
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
#pragma unroll
  for (unsigned t = 0; t < kRounds; ++t) {
    if (t >= 16) {
      const uint32_t w15 = schedule[(t + 1) % 16];
      const uint32_t w2 = schedule[(t + 14) % 16];
      const uint32_t sigma0 = rotate_right(w15, 7) ^ rotate_right(w15, 18) ^ (w15 >> 3);
      const uint32_t sigma1 = rotate_right(w2, 17) ^ rotate_right(w2, 19) ^ (w2 >> 10);
      schedule[t % 16] = add<kOnMultiplier>(sigma0, schedule[t % 16]) + schedule[(t + 9) % 16] + sigma1;
    }
    const uint32_t sum1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
    const uint32_t choice = (e & f) ^ (~e & g);
    const uint32_t input = add<kOnMultiplier>(h, add<kOnMultiplier>(schedule[t % 16], kRoundConstants[t]));
    const uint32_t t1 = sum1 + choice + input;
    const uint32_t sum0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
    const uint32_t majority = (a & b) ^ (a & c) ^ (b & c);
    h = g;
    g = f;
    f = e;
    e = add<kOnMultiplier>(d, t1);
    d = c;
    c = b;
    b = a;
    a = add<kOnMultiplier>(t1, sum0 + majority);
  }
  state[0] += a;
  state[1] += b;
  state[2] += c;
  state[3] += d;
  state[4] += e;
  state[5] += f;
  state[6] += g;
  state[7] += h;
}

/** Compresses the padding of a 4096-byte message: a 1 bit, zeros and the length in bits. */
__device__ __forceinline__ void compress_padding(uint32_t (&state)[8]) {
  uint32_t schedule[16] = {0x80000000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, kBlockBytes * 8};
  compress<false>(state, schedule);
}

/** Copies this thread's vector of every eighth row, from `input` on, into the tile, from `slot` on. */
__device__ __forceinline__ void load_rows(const uint8_t *input, uint4 *slot) {
#pragma unroll
  for (unsigned i = 0; i < kRowVectors; ++i) {
    slot[i * kRowsPerLoad * kRowStrideVectors] =
        *reinterpret_cast<const uint4 *>(input + i * kRowsPerLoad * kBlockBytes);
  }
}

/** Loads 16 bytes at `offset`, a multiple of 16. Bytes from `input_bytes` on read as zeros and are never accessed. */
__device__ __forceinline__ uint4 load_padded_vector(const uint8_t *input, uint64_t input_bytes, uint64_t offset) {
  if (offset + kVectorBytes <= input_bytes) return *reinterpret_cast<const uint4 *>(input + offset);
  uint64_t halves[2] = {0, 0};
#pragma unroll
  for (unsigned half = 0; half < 2; ++half) {
    const uint64_t start = offset + half * 8;
#pragma unroll 1
    for (unsigned i = 0; i < 8 && start + i < input_bytes; ++i) {
      halves[half] |= static_cast<uint64_t>(input[start + i]) << (i * 8);
    }
  }
  return make_uint4(static_cast<uint32_t>(halves[0]), static_cast<uint32_t>(halves[0] >> 32),
                    static_cast<uint32_t>(halves[1]), static_cast<uint32_t>(halves[1] >> 32));
}

/** Does the same from `input + offset` on, for a tile that may extend past the end of the input. */
__device__ __forceinline__ void load_padded_rows(const uint8_t *input, uint64_t input_bytes, uint64_t offset,
                                                 uint4 *slot) {
#pragma unroll 1
  for (unsigned i = 0; i < kRowVectors; ++i) {
    slot[i * kRowsPerLoad * kRowStrideVectors] =
        load_padded_vector(input, input_bytes, offset + i * kRowsPerLoad * kBlockBytes);
  }
}

/** Writes the state as a big-endian digest. */
__device__ __forceinline__ void store_digest(const uint32_t (&state)[8], uint8_t *output) {
  uint4 *digest = reinterpret_cast<uint4 *>(output);
  digest[0] = swap_bytes(make_uint4(state[0], state[1], state[2], state[3]));
  digest[1] = swap_bytes(make_uint4(state[4], state[5], state[6], state[7]));
}

}  // namespace

/**
 * Thread i of the grid writes the hash of block i of the input to output[32 * i]. tree_level.h defines the launch, and
 * README.md the parameters. Every thread reaches both barriers, including threads past the last block.
 */
extern "C" __global__ void __launch_bounds__(kThreads)
    vram_tree_level(const uint8_t *input, uint64_t input_bytes, uint8_t *output) {
  __shared__ uint4 tile[kThreads * kRowStrideVectors];
  const uint64_t first_block = static_cast<uint64_t>(blockIdx.x) * kThreads;
  const bool is_whole = (first_block + kThreads) * kBlockBytes <= input_bytes;

  // This thread loads one vector of every eighth row. `slot` and `offset` locate the first one.
  const unsigned row = threadIdx.x / kRowVectors;
  const unsigned column = threadIdx.x % kRowVectors;
  uint4 *const slot = tile + row * kRowStrideVectors + column;
  uint64_t offset = (first_block + row) * kBlockBytes + column * kVectorBytes;
  uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
#pragma unroll 1
  for (unsigned step = 0; step < kBlockBytes / kRowBytes; ++step, offset += kRowBytes) {
    if (is_whole) {
      load_rows(input + offset, slot);
    } else {
      load_padded_rows(input, input_bytes, offset, slot);
    }
    __syncthreads();
#pragma unroll 1
    for (unsigned first = 0; first < kRowVectors; first += kChunkVectors) {
      uint32_t schedule[16];
#pragma unroll
      for (unsigned i = 0; i < kChunkVectors; ++i) {
        const uint4 words = swap_bytes(tile[threadIdx.x * kRowStrideVectors + first + i]);
        schedule[4 * i] = words.x;
        schedule[4 * i + 1] = words.y;
        schedule[4 * i + 2] = words.z;
        schedule[4 * i + 3] = words.w;
      }
      compress<true>(state, schedule);
    }
    __syncthreads();
  }
  compress_padding(state);

  const uint64_t own_block = first_block + threadIdx.x;
  if (own_block * kBlockBytes < input_bytes) store_digest(state, output + own_block * kDigestBytes);
}
