/**
 * Measures what libvram's calls cost on a device: module load, take, write, seal, attest, digest, wipe and release.
 *
 *     costs DRIVER KERNELS [MAXIMUM_MIB]
 */
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "../include/vram.h"
#include "timing.h"

using namespace probe;

namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;

void require(const char *what, vram_status status) {
  if (status == VRAM_OK) return;
  std::fprintf(stderr, "%s: %s\n", what, vram_status_name(status));
  std::exit(2);
}

double median_of(const std::vector<double> &values) {
  return quantile(values, 0.5);
}

double milliseconds(const std::function<void()> &work) {
  const auto start = Clock::now();
  work();
  return seconds_since(start) * 1e3;
}

struct Costs {
  std::vector<double> take, seal, attest, digest, cpu, wipe;
};

/** Random words: a device may handle zeros faster. */
std::vector<uint8_t> random_bytes(uint64_t bytes) {
  std::vector<uint8_t> data(bytes);
  uint64_t state = 88172645463325252u;
  for (uint64_t i = 0; i + 8 <= bytes; i += 8) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    std::copy_n(reinterpret_cast<const uint8_t *>(&state), 8, data.data() + i);
  }
  return data;
}

void measure(uint64_t driver, uint64_t bytes, int rounds) {
  static const std::vector<uint8_t> pattern = random_bytes(64 * kMiB);
  const uint64_t groups = (bytes + VRAM_GROUP_BYTES - 1) / VRAM_GROUP_BYTES;
  std::vector<uint8_t> hashes(groups * VRAM_DIGEST_BYTES);
  Costs costs;
  for (int round = 0; round < rounds; ++round) {
    uint64_t allocation = 0;
    costs.take.push_back(milliseconds([&] { require("take", vram_alloc(driver, 0, bytes, 0, &allocation)); }));
    for (uint64_t done = 0; done < bytes; done += pattern.size()) {
      require("write", vram_write(allocation, done, pattern.data(), std::min<uint64_t>(pattern.size(), bytes - done)));
    }
    costs.seal.push_back(milliseconds([&] { require("seal", vram_seal(allocation)); }));
    vram_residency residency = {};
    costs.attest.push_back(milliseconds([&] { require("attest", vram_attest(allocation, &residency)); }));
    const double cpu_before = cpu_seconds();
    const auto digests_start = Clock::now();
    for (int repeat = 0; repeat < 3; ++repeat) {
      costs.digest.push_back(milliseconds(
          [&] { require("digest", vram_digest(allocation, 0, bytes, hashes.data(), hashes.size())); }));
    }
    costs.cpu.push_back((cpu_seconds() - cpu_before) * 100 / seconds_since(digests_start));
    costs.wipe.push_back(milliseconds([&] { require("free", vram_free(allocation)); }));
  }
  const double digest = median_of(costs.digest);
  std::printf("%12llu %10.3f %10.3f %10.3f %10.3f %10.3f %12.2f %6.0f\n", static_cast<unsigned long long>(bytes),
              median_of(costs.take), median_of(costs.seal), median_of(costs.attest), median_of(costs.wipe), digest,
              static_cast<double>(bytes) / 1e6 / digest, median_of(costs.cpu));
  std::fflush(stdout);
}

}  // namespace

int main(int count, char **arguments) {
  if (count < 3) return std::fprintf(stderr, "usage: costs DRIVER KERNELS [MAXIMUM_MIB]\n"), 2;
  const uint64_t maximum = (count > 3 ? std::strtoull(arguments[3], nullptr, 10) : 16384) * kMiB;
  const vram_options options = {arguments[1], arguments[2], 1024 * 1024 * kMiB, 64 * kMiB, 4, 0};
  uint64_t driver = 0;
  std::printf("open: %.1f ms\n", milliseconds([&] { require("open", vram_open(&options, &driver)); }));
  std::printf("open device: %.1f ms\n", milliseconds([&] { require("open device", vram_open_device(driver, 0)); }));
  vram_device_info info = {};
  require("device info", vram_device_get_info(driver, 0, &info));
  const uint64_t largest = std::min(maximum, info.free_bytes / 10 * 9);
  std::printf("%12s %10s %10s %10s %10s %10s %12s %6s\n", "bytes", "take ms", "seal ms", "attest ms", "wipe ms", "digest ms",
              "digest GB/s", "CPU %");
  for (uint64_t bytes = 4096; bytes <= largest; bytes *= 4) measure(driver, bytes, bytes < 1024 * kMiB ? 5 : 2);
  std::printf("close: %.1f ms\n", milliseconds([&] { require("close", vram_close(driver)); }));
  return 0;
}
