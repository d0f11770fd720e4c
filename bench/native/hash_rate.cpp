/**
 * Measures the CPU's multi-buffer SHA-256 rate: every core hashes 4096-byte blocks from its own cache. This is the upper
 * limit for any program that hashes on this CPU. Prints GB/s (10^9 bytes) for all cores together and for one.
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

/** Hashes for kDuration, and returns the rate in bytes per second. */
double measure_rate() {
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
  for (double &rate : rates) threads.emplace_back([&rate] { rate = measure_rate(); });
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
