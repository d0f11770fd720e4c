/**
 * How to launch vram_tree_level (tree.cu). The kernel, its launcher in cuda/lib and the simulator include this file.
 *
 * The kernel takes one fs-verity level: `const uint8_t *input, uint64_t input_bytes, uint8_t *output`. The README of
 * this folder describes each parameter.
 */
#pragma once

#include <stdint.h>

namespace vram::tree_level {

inline constexpr char kKernelName[] = "vram_tree_level";

/** Bytes that one thread of the kernel hashes, and bytes of the hash. Both are fs-verity's, for SHA-256. */
inline constexpr unsigned kBlockBytes = 4096;
inline constexpr unsigned kDigestBytes = 32;

/** Threads (x) in a thread block; y and z are 1. */
inline constexpr unsigned kThreads = 64;

/** 4096-byte blocks in `input_bytes` bytes. The last one may be partial. */
constexpr uint64_t block_count(uint64_t input_bytes) {
  return input_bytes / kBlockBytes + (input_bytes % kBlockBytes != 0);
}

/** Thread blocks (x) in the grid of a launch; y and z are 1. `input_bytes` is at most 2^48. */
constexpr unsigned grid_size(uint64_t input_bytes) {
  return static_cast<unsigned>((block_count(input_bytes) + kThreads - 1) / kThreads);
}

}  // namespace vram::tree_level
