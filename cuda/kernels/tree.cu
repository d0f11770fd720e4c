/**
 * One level of an fs-verity tree on the device: SHA-256 (FIPS 180-4) of each 4096-byte block, a thread a block.
 *
 * A thread that walked its own block alone would read with a stride of 4096 bytes. So the 64 threads of a thread block
 * fetch together: 128 bytes of each of their 64 blocks a step, neighbours in a row, into a tile in shared memory, from
 * which each thread then takes its own row. Rows lie 144 bytes apart, so that the eight threads which a 16-byte access
 * serves at once meet all 32 banks. The 4096 bytes are 64 chunks of one message; the 65th chunk, its padding, is the
 * same for every block, and the compiler folds its whole message schedule into the round constants.
 *
 * Plain CUDA C++: the same source runs under kernels/shim on the host.
 */
#include <stdint.h>

namespace {

constexpr unsigned kThreads = 64;
constexpr unsigned kBlockBytes = 4096;
constexpr unsigned kDigestBytes = 32;
constexpr unsigned kQuadBytes = sizeof(uint4);
constexpr unsigned kTileRowBytes = 128;
constexpr unsigned kTileRowQuads = kTileRowBytes / kQuadBytes;
constexpr unsigned kRowsAtOnce = kThreads / kTileRowQuads;
constexpr unsigned kTileStrideQuads = kTileRowQuads + 1;
constexpr unsigned kChunkQuads = 64 / kQuadBytes;
constexpr unsigned kRounds = 64;
constexpr unsigned kBlockBits = kBlockBytes * 8;

// Every index into this is known when the rounds are unrolled, so that no load is left.
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
  return value << 24 | (value & 0xff00) << 8 | (value >> 8 & 0xff00) | value >> 24;
}

/** FIPS 180-4, section 6.2.2. The schedule is a ring of 16 words, overwritten as the rounds go. */
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
      schedule[t % 16] += sigma0 + schedule[(t + 9) % 16] + sigma1;
    }
    const uint32_t sum1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
    const uint32_t choice = (e & f) ^ (~e & g);
    const uint32_t t1 = h + sum1 + choice + (kRoundConstants[t] + schedule[t % 16]);
    const uint32_t sum0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
    const uint32_t majority = (a & b) ^ (a & c) ^ (b & c);
    h = g;
    g = f;
    f = e;
    e = d + t1;
    d = c;
    c = b;
    b = a;
    a = t1 + sum0 + majority;
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

/** 16 bytes at `offset`, a multiple of 16. Bytes at input_bytes and after it are zeros, and are never touched. */
__device__ __forceinline__ uint4 load_quad(const uint8_t *input, uint64_t input_bytes, uint64_t offset) {
  if (offset + kQuadBytes <= input_bytes) return *reinterpret_cast<const uint4 *>(input + offset);
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

}  // namespace

/**
 * Thread i of the grid hashes block i of the input, the last one padded with zeros to 4096 bytes, into output[32 * i].
 * Launch with 64 threads a thread block, and ceil(ceil(input_bytes / 4096) / 64) thread blocks; `input` and `output`
 * are multiples of 16 and don't overlap.
 */
extern "C" __global__ void __launch_bounds__(kThreads)
    vram_tree_level(const uint8_t *input, uint64_t input_bytes, uint8_t *output) {
  __shared__ uint4 tile[kThreads * kTileStrideQuads];
  const uint64_t first_block = static_cast<uint64_t>(blockIdx.x) * kThreads;
  const bool all_whole = (first_block + kThreads) * kBlockBytes <= input_bytes;

  // What this thread fetches: one quad of every eighth row.
  const unsigned row = threadIdx.x / kTileRowQuads;
  const unsigned quad = threadIdx.x % kTileRowQuads;
  const unsigned tile_quad = row * kTileStrideQuads + quad;
  uint64_t offset = (first_block + row) * kBlockBytes + quad * kQuadBytes;

  uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

#pragma unroll 1
  for (unsigned step = 0; step < kBlockBytes / kTileRowBytes; ++step, offset += kTileRowBytes) {
    if (all_whole) {
#pragma unroll
      for (unsigned i = 0; i < kTileRowQuads; ++i) {
        tile[tile_quad + i * kRowsAtOnce * kTileStrideQuads] =
            *reinterpret_cast<const uint4 *>(input + offset + i * kRowsAtOnce * kBlockBytes);
      }
    } else {
#pragma unroll 1
      for (unsigned i = 0; i < kTileRowQuads; ++i) {
        tile[tile_quad + i * kRowsAtOnce * kTileStrideQuads] =
            load_quad(input, input_bytes, offset + i * kRowsAtOnce * kBlockBytes);
      }
    }
    __syncthreads();

#pragma unroll 1
    for (unsigned first_quad = 0; first_quad < kTileRowQuads; first_quad += kChunkQuads) {
      uint32_t schedule[16];
#pragma unroll
      for (unsigned i = 0; i < kChunkQuads; ++i) {
        const uint4 words = tile[threadIdx.x * kTileStrideQuads + first_quad + i];
        schedule[4 * i] = swap_bytes(words.x);
        schedule[4 * i + 1] = swap_bytes(words.y);
        schedule[4 * i + 2] = swap_bytes(words.z);
        schedule[4 * i + 3] = swap_bytes(words.w);
      }
      compress(state, schedule);
    }
    __syncthreads();
  }

  uint32_t padding[16] = {0x80000000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, kBlockBits};
  compress(state, padding);

  const uint64_t own_block = first_block + threadIdx.x;
  if (own_block * kBlockBytes >= input_bytes) return;
  uint4 *digest = reinterpret_cast<uint4 *>(output + own_block * kDigestBytes);
  digest[0] = make_uint4(swap_bytes(state[0]), swap_bytes(state[1]), swap_bytes(state[2]), swap_bytes(state[3]));
  digest[1] = make_uint4(swap_bytes(state[4]), swap_bytes(state[5]), swap_bytes(state[6]), swap_bytes(state[7]));
}
