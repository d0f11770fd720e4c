/**
 * Measures the tree kernel of several modules on a device, by events: level 0 of 1 GiB and of 256 MiB, and level 1. Every
 * module must give the hashes of the first.
 *
 *     kernel_rates DRIVER MODULE…
 */
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "../kernels/tree_level.h"
#include "driver.h"
#include "timing.h"

namespace probe {
namespace {

namespace tree = vram::tree_level;

constexpr uint64_t kBytes = uint64_t{1} << 30;
constexpr int kRounds = 15;

class Bench {
 public:
  explicit Bench(const Driver &driver) : driver_(driver) {
    require("cuStreamCreate", driver.cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING));
    require("cuMemHostAlloc", driver.cuMemHostAlloc(&pinned_, kGranule, 0));
    require("cuEventCreate", driver.cuEventCreate(&start_, 0));
    require("cuEventCreate", driver.cuEventCreate(&end_, 0));
    input_ = create(driver, kBytes, false).address;
    output_ = create(driver, 8 * kGranule, false).address;
    fill_input();
  }

  /** Prints one line. Exits with 1 if the hashes differ from those of the first module. */
  void measure(const char *path) {
    const CUfunction kernel = load(path);
    const double whole = milliseconds(kernel, input_, kBytes, output_);
    check_hashes(path);
    const double quarter = milliseconds(kernel, input_, kBytes / 4, output_);
    const double level_1 = milliseconds(kernel, input_, kBytes / tree::kBlockBytes * tree::kDigestBytes, output_);
    std::printf("%-40s %10.3f %10.1f %10.1f %10.3f\n", std::strrchr(path, '/') + 1, whole, kBytes / 1e6 / whole,
                kBytes / 4 / 1e6 / quarter, level_1);
    std::fflush(stdout);
  }

 private:
  /** Random words: zeros may be faster, because they switch fewer transistors. */
  void fill_input() {
    uint64_t state = 88172645463325252u;
    auto *words = static_cast<uint64_t *>(pinned_);
    for (uint64_t done = 0; done < kBytes; done += kGranule) {
      for (size_t i = 0; i < kGranule / 8; ++i) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        words[i] = state;
      }
      require("copy", driver_.cuMemcpyHtoDAsync_v2(input_ + done, pinned_, kGranule, stream_));
      require("copy", driver_.cuStreamSynchronize(stream_));
    }
  }

  CUfunction load(const char *path) const {
    std::ifstream file(path, std::ios::binary);
    const std::string image{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    CUmodule module = nullptr;
    CUfunction kernel = nullptr;
    require(path, driver_.cuModuleLoadData(&module, image.c_str()));
    require(path, driver_.cuModuleGetFunction(&kernel, module, tree::kKernelName));
    return kernel;
  }

  double milliseconds(CUfunction kernel, CUdeviceptr input, uint64_t bytes, CUdeviceptr output) const {
    std::vector<double> times;
    for (int round = 0; round < kRounds + 3; ++round) {
      void *parameters[] = {&input, &bytes, &output};
      require("record", driver_.cuEventRecord(start_, stream_));
      require("launch", driver_.cuLaunchKernel(kernel, tree::grid_size(bytes), 1, 1, tree::kThreads, 1, 1, 0, stream_,
                                               parameters, nullptr));
      require("record", driver_.cuEventRecord(end_, stream_));
      require("wait", driver_.cuStreamSynchronize(stream_));
      float elapsed = 0;
      require("cuEventElapsedTime", driver_.cuEventElapsedTime(&elapsed, start_, end_));
      if (round >= 3) times.push_back(elapsed);
    }
    return quantile(times, 0.5);
  }

  void check_hashes(const char *path) {
    std::vector<unsigned char> hashes;
    for (uint64_t offset = 0; offset < kBytes / tree::kBlockBytes * tree::kDigestBytes; offset += kGranule) {
      require("copy", driver_.cuMemcpyDtoHAsync_v2(pinned_, output_ + offset, kGranule, stream_));
      require("copy", driver_.cuStreamSynchronize(stream_));
      const auto *first = static_cast<const unsigned char *>(pinned_);
      hashes.insert(hashes.end(), first, first + kGranule);
    }
    require("clear", driver_.cuMemsetD8Async(output_, 0, 8 * kGranule, stream_));
    if (expected_.empty()) expected_ = hashes;
    if (hashes == expected_) return;
    std::fprintf(stderr, "%s gives other hashes than the first module\n", path);
    std::exit(1);
  }

  const Driver &driver_;
  CUstream stream_ = nullptr;
  CUevent start_ = nullptr, end_ = nullptr;
  void *pinned_ = nullptr;
  CUdeviceptr input_ = 0, output_ = 0;
  std::vector<unsigned char> expected_;
};

}  // namespace
}  // namespace probe

int main(int count, char **arguments) {
  using namespace probe;
  if (count < 3) return std::fprintf(stderr, "usage: kernel_rates DRIVER MODULE…\n"), 2;
  const Driver driver = open_driver(arguments[1]);
  use_device(driver, 0);
  Bench bench(driver);
  std::printf("%-40s %10s %10s %10s %10s\n", "module", "1 GiB ms", "GB/s", "256 MiB", "level 1 ms");
  for (int i = 2; i < count; ++i) bench.measure(arguments[i]);
  return 0;
}
