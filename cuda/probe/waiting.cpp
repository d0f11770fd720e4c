/**
 * Measures the processor time of a thread that waits for a device, by the way of waiting: cuStreamSynchronize(), an
 * event, an event with CU_EVENT_BLOCKING_SYNC. Each round waits for a memset, long or short.
 *
 *     waiting DRIVER
 */
#include "driver.h"
#include "timing.h"

namespace probe {
namespace {

constexpr size_t kBytes = size_t{64} << 20;
void measure(const Driver &driver, CUstream stream, CUdeviceptr target, const char *name, int flags) {
  CUevent event = nullptr;
  if (flags >= 0) require("cuEventCreate", driver.cuEventCreate(&event, static_cast<unsigned>(flags)));
  struct Load {
    size_t bytes;
    int memsets, rounds;
  };
  const Load quick = {kBytes, 4, 2}, whole = {kBytes, 200, 10};
  for (const auto &[bytes, memsets, rounds] : {is_quick() ? quick : whole, Load{4096, 1, 2000}}) {
    const double cpu_before = cpu_seconds();
    const auto start = Clock::now();
    for (int round = 0; round < rounds; ++round) {
      for (int i = 0; i < memsets; ++i) {
        require("memset", driver.cuMemsetD8Async(target, static_cast<unsigned char>(i), bytes, stream));
      }
      if (event == nullptr) {
        require("wait", driver.cuStreamSynchronize(stream));
      } else {
        require("record", driver.cuEventRecord(event, stream));
        require("wait", driver.cuEventSynchronize(event));
      }
    }
    const double wall = seconds_since(start);
    std::printf("%-40s %5d waits of %8.3f ms: %5.1f %% of a core\n", name, rounds, wall * 1e3 / rounds,
                (cpu_seconds() - cpu_before) * 100 / wall);
  }
}

}  // namespace
}  // namespace probe

int main(int count, char **arguments) {
  using namespace probe;
  const Driver driver = open_driver(count > 1 ? arguments[1] : "libcuda.so.1");
  if (count > 2) require("flags", driver.cuDevicePrimaryCtxSetFlags_v2(0, CU_CTX_SCHED_BLOCKING_SYNC));
  use_device(driver, 0);
  CUstream stream = nullptr;
  require("cuStreamCreate", driver.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  const Memory memory = create(driver, kBytes, false);
  require("memset", driver.cuMemsetD8Async(memory.address, 0, kBytes, stream));
  require("wait", driver.cuStreamSynchronize(stream));
  measure(driver, stream, memory.address, "cuStreamSynchronize", -1);
  measure(driver, stream, memory.address, "event", CU_EVENT_DISABLE_TIMING);
  measure(driver, stream, memory.address, "event, CU_EVENT_BLOCKING_SYNC", CU_EVENT_DISABLE_TIMING | CU_EVENT_BLOCKING_SYNC);
  return 0;
}
