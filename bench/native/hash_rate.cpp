/**
 * Measures the CPU's multi-buffer SHA-256 rate on 4096-byte blocks: all cores and one core from their own caches, and all
 * cores from memory. The first is the upper limit for any program that hashes on this CPU, and the last for one whose data
 * is not in a cache. Then one core computes the hash of a message, alone and with its blocks in one pass, from its cache.
 * Prints GB/s (10^9 bytes).
 */
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <thread>
#include <vector>

#include "../../cuda/hash/sha256.h"

namespace {

constexpr uint64_t kPartBytes = 256 * 1024;
/** More than the caches of a server's CPU hold. */
constexpr uint64_t kMemoryBytes = uint64_t{1} << 30;
constexpr std::chrono::milliseconds kDuration(500);

/** Calls hash(part, digests) for the parts of a buffer, for kDuration. Returns the rate in bytes per second. */
template <typename Hash>
double measure_rate(const std::vector<uint8_t> &blocks, Hash hash) {
  std::vector<uint8_t> digests(kPartBytes / vram::kBlockBytes * vram::kDigestBytes);
  const auto start = std::chrono::steady_clock::now();
  auto now = start;
  uint64_t bytes = 0;
  for (; now - start < kDuration; now = std::chrono::steady_clock::now()) {
    hash(blocks.data() + bytes % blocks.size(), digests.data());
    bytes += kPartBytes;
  }
  return static_cast<double>(bytes) / std::chrono::duration<double>(now - start).count();
}

void hash_part(const uint8_t *part, uint8_t *digests) {
  vram::hash_blocks(part, kPartBytes, digests);
}

double rate_of_message() {
  vram::Sha256 message;
  const auto hash = [&message](const uint8_t *part, uint8_t *) { message.update(part, kPartBytes); };
  return measure_rate(std::vector<uint8_t>(kPartBytes, 1), hash) / 1e9;
}

double rate_of_both() {
  vram::Sha256 message;
  const auto hash = [&message](const uint8_t *part, uint8_t *digests) {
    message.update_and_hash_blocks(part, kPartBytes / vram::kBlockBytes, digests);
  };
  return measure_rate(std::vector<uint8_t>(kPartBytes, 1), hash) / 1e9;
}

/** The sum of the rates of all threads. Each has a buffer of its own. */
double rate_of(unsigned thread_count, uint64_t buffer_bytes) {
  const std::vector<std::vector<uint8_t>> buffers(thread_count, std::vector<uint8_t>(buffer_bytes, 1));
  std::vector<double> rates(thread_count);
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < thread_count; ++i) {
    threads.emplace_back([&rate = rates[i], &buffer = buffers[i]] { rate = measure_rate(buffer, hash_part); });
  }
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
  const uint64_t share = kMemoryBytes / cores / kPartBytes * kPartBytes;
  std::printf(
      "{\"cores\": %u, \"all_gb_per_s\": %.4f, \"one_gb_per_s\": %.4f, \"memory_gb_per_s\": %.4f, "
      "\"message_gb_per_s\": %.4f, \"both_gb_per_s\": %.4f}\n",
      cores, rate_of(cores, kPartBytes), rate_of(1, kPartBytes), rate_of(cores, share), rate_of_message(),
      rate_of_both());
}
