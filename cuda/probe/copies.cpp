/**
 * Measures copies from pinned host memory to a device by the size of a piece: queued, and each one waited for.
 *
 *     copies DRIVER
 */
#include <cstring>

#include "driver.h"
#include "timing.h"

namespace probe {
namespace {

constexpr size_t kBytes = size_t{256} << 20;
const size_t kTotal = is_quick() ? kBytes : size_t{2} << 30;

struct Copies {
  const Driver &driver;
  CUdeviceptr target;
  unsigned char *host;
  CUstream stream;

  /** GB/s of kTotal bytes in pieces; waits for each by the event, if there is one. */
  double rate(size_t piece, CUevent event) const {
    const size_t total = piece < (1 << 20) ? kTotal / 8 : kTotal;
    const auto start = Clock::now();
    for (size_t done = 0; done < total; done += piece) {
      const size_t offset = done % kBytes;
      require("copy", driver.cuMemcpyHtoDAsync_v2(target + offset, host + offset, piece, stream));
      if (event == nullptr) continue;
      require("record", driver.cuEventRecord(event, stream));
      require("wait", driver.cuEventSynchronize(event));
    }
    require("wait", driver.cuStreamSynchronize(stream));
    return static_cast<double>(total) / 1e9 / seconds_since(start);
  }
};

}  // namespace
}  // namespace probe

int main(int count, char **arguments) {
  using namespace probe;
  const Driver driver = open_driver(count > 1 ? arguments[1] : "libcuda.so.1");
  use_device(driver, 0);
  void *host = nullptr;
  const auto start = Clock::now();
  require("cuMemHostAlloc", driver.cuMemHostAlloc(&host, kBytes, CU_MEMHOSTALLOC_PORTABLE));
  std::printf("pinning %zu MiB: %.1f ms\n", kBytes >> 20, seconds_since(start) * 1e3);
  std::memset(host, 0x5a, kBytes);
  CUstream stream = nullptr;
  require("cuStreamCreate", driver.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  const Memory memory = create(driver, kBytes, false);
  CUevent spinning = nullptr, blocking = nullptr;
  require("event", driver.cuEventCreate(&spinning, CU_EVENT_DISABLE_TIMING));
  require("event", driver.cuEventCreate(&blocking, CU_EVENT_DISABLE_TIMING | CU_EVENT_BLOCKING_SYNC));
  const Copies copies = {driver, memory.address, static_cast<unsigned char *>(host), stream};
  (void)copies.rate(64 << 20, nullptr);  // warm-up
  const size_t largest = is_quick() ? size_t{1} << 20 : kBytes;
  std::printf("%12s %14s %18s %18s\n", "piece bytes", "queued GB/s", "each waited, spin", "each waited, block");
  for (size_t piece = 64 << 10; piece <= largest; piece *= 2) {
    std::printf("%12zu %14.2f %18.2f %18.2f\n", piece, copies.rate(piece, nullptr), copies.rate(piece, spinning),
                copies.rate(piece, blocking));
  }
  return 0;
}
