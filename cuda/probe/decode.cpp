/**
 * Measures how a verification slows down work that reads all of its memory in each step, as decoding does, and how that
 * work slows down the verification. If the driver does not load the kernel that reads, a memset of all bytes takes its place.
 *
 *     decode DRIVER KERNELS [GIB]
 */
#include <atomic>
#include <thread>

#include "../include/vram.h"
#include "driver.h"
#include "timing.h"

namespace probe {
namespace {

const double kSeconds = is_quick() ? 0.1 : 2;

void require_ok(const char *what, vram_status status) {
  if (status == VRAM_OK) return;
  std::fprintf(stderr, "%s: %s\n", what, vram_status_name(status));
  std::exit(2);
}

/** A shard that is digested in slices, with a rest after each. */
class Scrub {
 public:
  Scrub(uint64_t allocation, uint64_t bytes, uint64_t slice_bytes, double rest_ratio)
      : thread_([=, this] {
          std::vector<uint8_t> hashes(slice_bytes / VRAM_GROUP_BYTES * VRAM_DIGEST_BYTES);
          for (uint64_t offset = 0; !stop_; offset = (offset + slice_bytes) % bytes) {
            const auto start = Clock::now();
            require_ok("digest", vram_digest(allocation, offset, slice_bytes, hashes.data(), hashes.size()));
            done_bytes_ += slice_bytes;
            std::this_thread::sleep_for((Clock::now() - start) * rest_ratio);
          }
        }) {}
  ~Scrub() {
    stop_ = true;
    thread_.join();
  }
  uint64_t done_bytes() const { return done_bytes_; }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> done_bytes_{0};
  std::thread thread_;
};

/** Steps of the other work, one after another, for kSeconds. */
class Decoder {
 public:
  Decoder(const Driver &driver, CUdeviceptr weights, uint64_t bytes, int priority)
      : driver_(driver), weights_(weights), vectors_(bytes / 16), kernel_(find_kernel(driver, "probe_read_all")) {
    target_ = create(driver, kGranule, false).address;
    const CUresult created = priority != 0
                                 ? driver.cuStreamCreateWithPriority(&stream_, CU_STREAM_NON_BLOCKING, priority)
                                 : driver.cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING);
    require("stream", created);
  }

  std::vector<double> run() {
    std::vector<double> milliseconds;
    for (const auto start = Clock::now(); seconds_since(start) < kSeconds;) {
      const auto step = Clock::now();
      start_step();
      require("wait", driver_.cuStreamSynchronize(stream_));
      milliseconds.push_back(seconds_since(step) * 1e3);
    }
    return milliseconds;
  }

  bool has_kernel() const { return kernel_ != nullptr; }

 private:
  void start_step() {
    if (!has_kernel()) return require("memset", driver_.cuMemsetD8Async(weights_, 0, vectors_ * 16, stream_));
    void *parameters[] = {&weights_, &vectors_, &target_};
    require("launch", driver_.cuLaunchKernel(kernel_, 132 * 8, 1, 1, 256, 1, 1, 0, stream_, parameters, nullptr));
  }

  const Driver &driver_;
  CUdeviceptr weights_;
  uint64_t vectors_;
  CUfunction kernel_;
  CUdeviceptr target_ = 0;
  CUstream stream_ = nullptr;
};

void print(const char *name, const std::vector<double> &steps, uint64_t step_bytes, uint64_t scrubbed) {
  std::printf("%-44s %8.3f %8.3f %8.3f %10.0f %12.1f\n", name, quantile(steps, 0.5), quantile(steps, 0.99),
              quantile(steps, 1), static_cast<double>(step_bytes) / 1e6 / quantile(steps, 0.5),
              static_cast<double>(scrubbed) / 1e9 / kSeconds);
  std::fflush(stdout);
}

}  // namespace
}  // namespace probe

int main(int count, char **arguments) {
  using namespace probe;
  if (count < 3) return std::fprintf(stderr, "usage: decode DRIVER KERNELS [GIB]\n"), 2;
  const Driver driver = open_driver(arguments[1]);
  use_device(driver, 0);
  // The shard and the weights of the other work have this size, in slices.
  constexpr uint64_t kSlice = uint64_t{256} << 20;
  const uint64_t wanted = is_quick() ? kSlice : (count > 3 ? std::strtoull(arguments[3], nullptr, 10) : 4) << 30;
  const uint64_t bytes = std::min<uint64_t>(wanted, usable_bytes(driver) / 2 / kSlice * kSlice);
  if (bytes == 0) skip("less than 600 MiB of device memory are free");
  const vram_options options = {arguments[1], arguments[2], bytes, uint64_t{64} << 20, 4, 0};
  uint64_t vram = 0, shard = 0;
  require_ok("open", vram_open(&options, &vram));
  require_ok("open device", vram_open_device(vram, 0));
  require_ok("take", vram_alloc(vram, 0, bytes, 0, &shard));
  require_ok("seal", vram_seal(shard));
  const Memory weights = create(driver, bytes, false);
  std::printf("%-44s %8s %8s %8s %10s %12s\n", "other work", "p50 ms", "p99 ms", "max ms", "GB/s", "digest GB/s");
  for (const int priority : {0, -5}) {
    if (priority != 0 && !driver.cuStreamCreateWithPriority) break;
    Decoder decoder(driver, weights.address, bytes, priority);
    if (!decoder.has_kernel()) std::printf("the driver does not load kernels.ptx: memsets instead of reads\n");
    (void)decoder.run();
    const std::string suffix = priority != 0 ? ", on a stream of high priority" : "";
    print(("alone" + suffix).c_str(), decoder.run(), bytes, 0);
    for (const uint64_t slice : {uint64_t{256} << 20, uint64_t{32} << 20}) {
      for (const double rest : {0.0, 3.0, 30.0}) {
        if (is_quick() && rest > 3) continue;  // the last rest would take seconds
        const Scrub scrub(shard, bytes, slice, rest);
        const std::vector<double> steps = decoder.run();
        const std::string name = std::to_string(slice >> 20) + " MiB, rest " + std::to_string(static_cast<int>(rest)) + " x" + suffix;
        print(name.c_str(), steps, bytes, scrub.done_bytes());
      }
    }
  }
  return 0;
}
