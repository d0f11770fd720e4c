/**
 * Measures the tree kernel of several modules on a device, from 4 KiB to 16 GiB as far as the memory suffices. Every
 * module must give the hashes of the first. One that the driver refuses is skipped, except the first.
 *
 *     kernel_rates DRIVER MODULE…
 */
#include <algorithm>
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

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kCheckedBytes = 1024 * kMiB; /* whose hashes are compared, at most */

class Bench {
 public:
  explicit Bench(const Driver &driver) : driver_(driver) {
    require("cuStreamCreate", driver.cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING));
    require("cuMemHostAlloc", driver.cuMemHostAlloc(&pinned_, kGranule, 0));
    require("cuEventCreate", driver.cuEventCreate(&start_, 0));
    require("cuEventCreate", driver.cuEventCreate(&end_, 0));
    const uint64_t largest = is_quick() ? 64 * kMiB : 16384 * kMiB;
    while (bytes_ * 4 <= largest && bytes_ * 4 + bytes_ / 16 < usable_bytes(driver)) bytes_ *= 4;
    input_ = create(driver, std::max<uint64_t>(bytes_, kGranule), false).address;
    output_ = create(driver, bytes_ / 128 / kGranule * kGranule + kGranule, false).address;
    fill_input();
  }

  /** Prints a line for each size. Exits with 1 if the hashes differ from those of the first module. */
  void measure(const char *path) {
    CUfunction kernel = nullptr;
    const CUresult loaded = load(path, &kernel);
    const char *const slash = std::strrchr(path, '/');
    const char *const name = slash != nullptr ? slash + 1 : path;
    if (loaded != CUDA_SUCCESS && expected_.empty()) require(path, loaded);
    if (loaded != CUDA_SUCCESS) return (void)std::printf("%-28s skipped: %s\n", name, describe(driver_, loaded).c_str());
    check_hashes(path, kernel);
    for (uint64_t bytes = tree::kBlockBytes; bytes <= bytes_; bytes *= 4) {
      const double time = milliseconds(kernel, input_, bytes, output_);
      std::printf("%-28s %14llu %10.4f %10.2f\n", name, static_cast<unsigned long long>(bytes), time,
                  static_cast<double>(bytes) / 1e6 / time);
      std::fflush(stdout);
    }
    const uint64_t leaf_bytes = std::min(bytes_, kCheckedBytes) / tree::kBlockBytes * tree::kDigestBytes;
    std::printf("%-28s %14s %10.4f\n", name, "level 1", milliseconds(kernel, input_, leaf_bytes, output_));
  }

 private:
  /** Random words: zeros may be faster, because they switch fewer transistors. */
  void fill_input() {
    uint64_t state = 88172645463325252u;
    auto *words = static_cast<uint64_t *>(pinned_);
    for (uint64_t done = 0; done < bytes_; done += kGranule) {
      for (size_t i = 0; i < kGranule / 8; ++i) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        words[i] = state;
      }
      require("copy", driver_.cuMemcpyHtoDAsync_v2(input_ + done, pinned_, kGranule, stream_));
      require("copy", driver_.cuStreamSynchronize(stream_));
    }
  }

  CUresult load(const char *path, CUfunction *out_kernel) const {
    std::ifstream file(path, std::ios::binary);
    const std::string image{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (image.empty()) return CUDA_ERROR_NOT_FOUND;
    CUmodule module = nullptr;
    const CUresult loaded = driver_.cuModuleLoadData(&module, image.c_str());
    return loaded == CUDA_SUCCESS ? driver_.cuModuleGetFunction(out_kernel, module, tree::kKernelName) : loaded;
  }

  void launch(CUfunction kernel, CUdeviceptr input, uint64_t bytes, CUdeviceptr output) const {
    void *parameters[] = {&input, &bytes, &output};
    require("launch", driver_.cuLaunchKernel(kernel, tree::grid_size(bytes), 1, 1, tree::kThreads, 1, 1, 0, stream_,
                                             parameters, nullptr));
  }

  /** The median, by events, or by the clock of a driver without their times. */
  double milliseconds(CUfunction kernel, CUdeviceptr input, uint64_t bytes, CUdeviceptr output) const {
    const int rounds = is_quick() ? 1 : bytes <= kCheckedBytes ? 15 : 5;
    std::vector<double> times;
    for (int round = 0; round < rounds + 2; ++round) {
      const auto began = Clock::now();
      require("record", driver_.cuEventRecord(start_, stream_));
      launch(kernel, input, bytes, output);
      require("record", driver_.cuEventRecord(end_, stream_));
      require("wait", driver_.cuStreamSynchronize(stream_));
      float elapsed = static_cast<float>(seconds_since(began) * 1e3);
      if (driver_.cuEventElapsedTime) {
        require("cuEventElapsedTime", driver_.cuEventElapsedTime(&elapsed, start_, end_));
      }
      if (round >= 2) times.push_back(elapsed);
    }
    return quantile(times, 0.5);
  }

  void check_hashes(const char *path, CUfunction kernel) {
    const uint64_t bytes = std::min(bytes_, kCheckedBytes);
    launch(kernel, input_, bytes, output_);
    std::vector<unsigned char> hashes(bytes / tree::kBlockBytes * tree::kDigestBytes);
    for (uint64_t done = 0; done < hashes.size(); done += kGranule) {
      const uint64_t part = std::min<uint64_t>(kGranule, hashes.size() - done);
      require("copy", driver_.cuMemcpyDtoHAsync_v2(pinned_, output_ + done, part, stream_));
      require("copy", driver_.cuStreamSynchronize(stream_));
      std::memcpy(hashes.data() + done, pinned_, part);
    }
    require("clear", driver_.cuMemsetD8Async(output_, 0, hashes.size(), stream_));
    if (expected_.empty()) expected_ = hashes;
    if (hashes == expected_) return;
    std::fprintf(stderr, "%s gives other hashes than the first module\n", path);
    std::exit(1);
  }

  const Driver &driver_;
  CUstream stream_ = nullptr;
  CUevent start_ = nullptr, end_ = nullptr;
  void *pinned_ = nullptr;
  uint64_t bytes_ = tree::kBlockBytes; /* of the input */
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
  std::printf("%-28s %14s %10s %10s\n", "module", "bytes", "ms", "GB/s");
  for (int i = 2; i < count; ++i) bench.measure(arguments[i]);
  return 0;
}
