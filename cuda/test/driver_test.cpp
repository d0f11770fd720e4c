#include <unistd.h>

#include <cstring>
#include <string>

#include "harness.h"
#include "session.h"
#include "simulator.h"

namespace test {

TEST("the library reports its ABI version, and every status has a name") {
  CHECK(vram_abi_version() == VRAM_ABI_VERSION);
  CHECK(std::string(vram_status_name(VRAM_OK)) == "VRAM_OK");
  CHECK(std::string(vram_status_name(VRAM_INTERNAL)) == "VRAM_INTERNAL");
  for (vram_status status = VRAM_OK; status <= VRAM_WOULD_BLOCK; ++status) {
    CHECK(std::string(vram_status_name(status)).rfind("VRAM_", 0) == 0);
    CHECK(std::string(vram_status_name(status)) != "VRAM_UNKNOWN");
  }
  CHECK(std::string(vram_status_name(VRAM_LOAD_IN_ORDER + 1)) == "VRAM_UNKNOWN");
  CHECK(std::string(vram_status_name(-1)) == "VRAM_UNKNOWN");
  const Session session;
  CHECK(std::string(vram_status_name(VRAM_DRIVER_ERROR_BASE + CUDA_ERROR_ILLEGAL_ADDRESS)) ==
        "CUDA_ERROR_ILLEGAL_ADDRESS");
  CHECK(std::string(vram_status_name(VRAM_DRIVER_ERROR_BASE + 98765)).rfind("CUDA_ERROR_", 0) == 0);
}

TEST("a driver opens, describes its devices, and can be closed twice") {
  const uint64_t driver = open_all_devices(default_options());
  CHECK(driver > 0 && driver < (uint64_t{1} << 53));
  uint32_t count = 0;
  REQUIRE_OK(vram_device_count(driver, &count));
  REQUIRE(count > 0);
  for (uint32_t device = 0; device < count; ++device) {
    vram_device_info info = {};
    REQUIRE_OK(vram_device_get_info(driver, device, &info));
    CHECK(std::strlen(info.name) > 0);
    CHECK(info.free_bytes > 0 && info.free_bytes <= info.total_bytes);
    CHECK(info.granularity_bytes > 0 && (info.granularity_bytes & (info.granularity_bytes - 1)) == 0);
    CHECK(info.alignment_bytes >= 256);
    const uint8_t no_uuid[16] = {};
    CHECK(std::memcmp(info.uuid, no_uuid, sizeof(no_uuid)) != 0);
  }
  vram_device_info info = {};
  CHECK_STATUS(VRAM_BAD_DEVICE, vram_device_get_info(driver, count, &info));
  CHECK_STATUS(VRAM_OK, vram_close(driver));
  CHECK_STATUS(VRAM_OK, vram_close(driver));
  CHECK_STATUS(VRAM_STALE_HANDLE, vram_device_count(driver, &count));
}

TEST("two drivers can be open at once, with different handles") {
  const Session first;
  const Session second;
  CHECK(first.driver() != second.driver());
  const uint64_t a = first.alloc(0, 1);
  const uint64_t b = second.alloc(0, 1);
  CHECK(a != b);
  CHECK(first.slot(0) != second.slot(0));
}

TEST("closing a driver closes its loads and frees its allocations") {
  const Simulator simulator;
  const uint64_t live_before = simulator.live("*");
  uint64_t allocation = 0, load = 0;
  {
    const Session session;
    allocation = session.alloc(0, kMiB);
    load = session.open_load(allocation);
    (void)session.alloc(0, kMiB);
  }
  CHECK(simulator.live("*") == live_before);
  vram_allocation_info info = {};
  CHECK_STATUS(VRAM_STALE_HANDLE, vram_allocation_get_info(allocation, &info));
  CHECK_STATUS(VRAM_STALE_HANDLE, vram_load_push(load, 0, 1));
  CHECK_STATUS(VRAM_OK, vram_free(allocation));
  CHECK_STATUS(VRAM_OK, vram_load_close(load));
}

TEST("an open driver uses at most 10 MiB of a device") {
  const Simulator simulator;
  const Session session;
  for (uint32_t device = 0; device < session.device_count(); ++device) {
    const vram_device_info info = session.info(device);
    CHECK(info.total_bytes - info.free_bytes <= 10 * kMiB);
  }
}

TEST("a missing or incomplete driver and missing or invalid kernels have different statuses") {
  const std::string driver_file = driver_path(), kernels_file = kernels_path();
  uint64_t driver = 0;
  vram_options options = default_options();
  options.driver_path = "/nonexistent/libcuda.so";
  CHECK_STATUS(VRAM_DRIVER_NOT_FOUND, vram_open(&options, &driver));
  options.driver_path = "libm.so.6";
  CHECK_STATUS(VRAM_DRIVER_INCOMPLETE, vram_open(&options, &driver));
  options = default_options();
  options.kernels_path = "/nonexistent/kernels";
  CHECK_STATUS(VRAM_KERNELS_NOT_FOUND, vram_open(&options, &driver));
  options.kernels_path = "/";
  CHECK_STATUS(VRAM_KERNELS_NOT_FOUND, vram_open(&options, &driver));
  options.kernels_path = "/etc/passwd";
  CHECK(driver == 0);
  REQUIRE_OK(vram_open(&options, &driver));
  CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + CUDA_ERROR_INVALID_IMAGE, vram_open_device(driver, 0));
  CHECK_STATUS(VRAM_OK, vram_close(driver));
}

TEST("a device without virtual memory management is refused") {
  const Simulator simulator;
  simulator.set("SPOOFS", "vmm=0");
  const vram_options options = default_options();
  uint64_t driver = 0;
  REQUIRE_OK(vram_open(&options, &driver));
  CHECK_STATUS(VRAM_UNSUPPORTED_DEVICE, vram_open_device(driver, 0));
  CHECK_STATUS(VRAM_OK, vram_close(driver));
}

TEST("only an opened device gets a context, and only it can be used") {
  const Simulator simulator;
  const uint64_t contexts = simulator.live("cuDevicePrimaryCtxRetain");
  const vram_options options = default_options();
  uint64_t driver = 0, allocation = 0;
  REQUIRE_OK(vram_open(&options, &driver));
  void *base = nullptr;
  uint32_t slots = 0;
  CHECK_STATUS(VRAM_BAD_DEVICE, vram_staging(driver, &base, &slots));
  CHECK_STATUS(VRAM_BAD_DEVICE, vram_alloc(driver, 1, 1, alloc_flags(), &allocation));
  REQUIRE_OK(vram_open_device(driver, 1));
  CHECK_STATUS(VRAM_OK, vram_open_device(driver, 1));
  CHECK(simulator.live("cuDevicePrimaryCtxRetain") == contexts + 1);
  CHECK_STATUS(VRAM_OK, vram_staging(driver, &base, &slots));
  vram_device_info info = {};
  CHECK_STATUS(VRAM_BAD_DEVICE, vram_device_get_info(driver, 0, &info));
  CHECK_STATUS(VRAM_BAD_DEVICE, vram_alloc(driver, 0, 1, alloc_flags(), &allocation));
  REQUIRE_OK(vram_alloc(driver, 1, 1, alloc_flags(), &allocation));
  REQUIRE_OK(vram_seal(allocation));
  vram_residency residency = {};
  CHECK_STATUS(VRAM_OK, vram_attest(allocation, &residency));
  CHECK_STATUS(VRAM_OK, vram_close(driver));
  CHECK(simulator.live("cuDevicePrimaryCtxRetain") == contexts);
}

TEST("a driver that is too old for the kernels has its own status") {
  const Simulator simulator;
  vram_options options = default_options();
  options.min_cuda_version = 13000;
  uint64_t driver = 0;
  simulator.set("SPOOFS", "cuda_version=12090");
  CHECK_STATUS(VRAM_DRIVER_TOO_OLD, vram_open(&options, &driver));
  simulator.set("SPOOFS", "");
  REQUIRE_OK(vram_open(&options, &driver));
  CHECK_STATUS(VRAM_OK, vram_close(driver));
}

TEST("the simulator is recognized under any file name") {
  const Simulator simulator;
  const std::string link = "/tmp/libcuda.so." + std::to_string(getpid());
  REQUIRE(symlink(driver_path().c_str(), link.c_str()) == 0);
  vram_options options = default_options();
  options.driver_path = link.c_str();
  uint64_t driver = 0;
  const vram_status opened = vram_open(&options, &driver);
  (void)unlink(link.c_str());
  REQUIRE_OK(opened);
  vram_driver_info info = {};
  REQUIRE_OK(vram_driver_get_info(driver, &info));
  CHECK(info.simulated == 1 && info.cuda_version == 13000);
  CHECK_STATUS(VRAM_OK, vram_close(driver));
}

TEST("an instance of a partitioned GPU is recognized") {
  const Simulator simulator;
  CHECK(Session().info(0).mig == 0);
  simulator.set("SPOOFS", "mig=1");
  CHECK(Session().info(0).mig == 1);
}

}  // namespace test
