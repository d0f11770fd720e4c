/**
 * The CPU's multi-buffer SHA-256 rate: every core hashes 4096-byte blocks, several at a time, that lie in its own cache.
 * The limit of whatever hashes on this CPU. Prints 10^9 bytes a second of all cores together, and of one.
 */
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <thread>
#include <vector>

#include "../../cuda/hash/sha256.h"

namespace {

constexpr uint64_t kBufferBytes = 256 * 1024;
constexpr std::chrono::milliseconds kDuration(500);

/** Hashes for kDuration; the bytes done a second. */
double hash_for_a_while() {
  std::vector<uint8_t> blocks(kBufferBytes, 1);
  std::vector<uint8_t> digests(kBufferBytes / vram::kBlockBytes * vram::kDigestBytes);
  const auto start = std::chrono::steady_clock::now();
  auto now = start;
  uint64_t bytes = 0;
  for (; now - start < kDuration; now = std::chrono::steady_clock::now()) {
    vram::hash_blocks(blocks.data(), kBufferBytes, digests.data());
    bytes += kBufferBytes;
  }
  return static_cast<double>(bytes) / std::chrono::duration<double>(now - start).count();
}

double rate_of(unsigned thread_count) {
  std::vector<double> rates(thread_count);
  std::vector<std::thread> threads;
  for (double &rate : rates) threads.emplace_back([&rate] { rate = hash_for_a_while(); });
  double sum = 0;
  for (unsigned i = 0; i < thread_count; ++i) {
    threads[i].join();
    sum += rates[i];
  }
  return sum / 1e9;
}

}  // namespace

int main() {
  const unsigned cores = std::thread::hardware_concurrency();
  std::printf("{\"cores\": %u, \"all_gb_per_s\": %.4f, \"one_gb_per_s\": %.4f}\n", cores, rate_of(cores), rate_of(1));
}
