/** The simulator's contexts, handles and streams. */
#include <cstring>
#include <thread>
#include <vector>

#include "sim_driver.h"

using test::kSimGranule;
using test::SimDriver;
using test::SimMemory;

namespace {

constexpr char kForEver[] = "3600000000";

/** Pinned host memory, freed by the destructor. */
class Pinned {
 public:
  Pinned(const SimDriver &driver, size_t bytes) : driver_(driver) {
    REQUIRE_CU(driver_.cuMemHostAlloc(&address_, bytes, 0));
  }
  ~Pinned() { CHECK_CU(CUDA_SUCCESS, driver_.cuMemFreeHost(address_)); }
  Pinned(const Pinned &) = delete;
  Pinned &operator=(const Pinned &) = delete;
  char *text() const { return static_cast<char *>(address_); }

 private:
  const SimDriver &driver_;
  void *address_ = nullptr;
};

}  // namespace

TEST("sim: before cuInit only the functions that need no driver work") {
  const SimDriver driver{{"DEVICES", "8MiB"}};
  int value = 0;
  const char *name = nullptr;
  CHECK_CU(CUDA_ERROR_NOT_INITIALIZED, driver.cuDeviceGetCount(&value));
  CHECK_CU(CUDA_ERROR_NOT_INITIALIZED, driver.cuStreamSynchronize(nullptr));
  CHECK_CU(CUDA_SUCCESS, driver.cuDriverGetVersion(&value));
  CHECK_CU(CUDA_SUCCESS, driver.cuGetErrorName(CUDA_ERROR_ILLEGAL_ADDRESS, &name));
  CHECK(std::string(name) == "CUDA_ERROR_ILLEGAL_ADDRESS");
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuGetErrorName(static_cast<CUresult>(12345), &name));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuInit(1));
}

TEST("sim: the current context is reported with its device") {
  const SimDriver driver{{"DEVICES", "8MiB,8MiB"}};
  REQUIRE_CU(driver.init());
  CUcontext none = nullptr, current = nullptr, retained = nullptr;
  CUdevice device = -1;
  REQUIRE_CU(driver.cuCtxSetCurrent(nullptr));
  CHECK_CU(CUDA_SUCCESS, driver.cuCtxGetCurrent(&none));
  CHECK(none == nullptr);
  CHECK_CU(CUDA_ERROR_INVALID_CONTEXT, driver.cuCtxGetDevice(&device));
  REQUIRE_CU(driver.cuDevicePrimaryCtxRetain(&retained, 1));
  REQUIRE_CU(driver.cuCtxSetCurrent(retained));
  CHECK_CU(CUDA_SUCCESS, driver.cuCtxGetCurrent(&current));
  CHECK_CU(CUDA_SUCCESS, driver.cuCtxGetDevice(&device));
  CHECK(current == retained && device == 1);
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuCtxGetCurrent(nullptr));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuCtxGetDevice(nullptr));
}

TEST("sim: devices follow the environment, with the same UUID in every process") {
  const SimDriver driver{{"DEVICES", "8MiB,4194304,4096KiB,1GiB"}};
  REQUIRE_CU(driver.init());
  int count = 0;
  REQUIRE_CU(driver.cuDeviceGetCount(&count));
  REQUIRE(count == 4);
  const size_t expected[] = {8 << 20, 4 << 20, 4 << 20, 1 << 30};
  for (int i = 0; i < count; ++i) {
    size_t bytes = 0;
    CUuuid uuid = {};
    char name[64] = {};
    CHECK_CU(CUDA_SUCCESS, driver.cuDeviceTotalMem_v2(&bytes, i));
    CHECK(bytes == expected[i]);
    CHECK_CU(CUDA_SUCCESS, driver.cuDeviceGetUuid_v2(&uuid, i));
    CHECK(std::memcmp(uuid.bytes, "simulated-gpu\0\0", 15) == 0 && uuid.bytes[15] == i);
    CHECK_CU(CUDA_SUCCESS, driver.cuDeviceGetName(name, sizeof(name), i));
    CHECK(std::string(name) == "Simulated GPU");
  }
  CUdevice device = 0;
  CHECK_CU(CUDA_ERROR_INVALID_DEVICE, driver.cuDeviceGet(&device, 4));
  CHECK_CU(CUDA_ERROR_INVALID_DEVICE, driver.cuDeviceGet(&device, -1));
}

TEST("sim: a context is current per thread, and only while it is retained") {
  const SimDriver driver{{"DEVICES", "8MiB"}};
  REQUIRE_CU(driver.init());
  size_t free = 0, total = 0;
  CHECK_CU(CUDA_ERROR_INVALID_CONTEXT, driver.cuMemGetInfo_v2(&free, &total));
  CUcontext context = nullptr;
  REQUIRE_CU(driver.cuDevicePrimaryCtxRetain(&context, 0));
  CHECK_CU(CUDA_ERROR_INVALID_CONTEXT, driver.cuMemGetInfo_v2(&free, &total));
  REQUIRE_CU(driver.cuCtxSetCurrent(context));
  CHECK_CU(CUDA_SUCCESS, driver.cuMemGetInfo_v2(&free, &total));

  std::thread([&] { CHECK_CU(CUDA_ERROR_INVALID_CONTEXT, driver.cuMemGetInfo_v2(&free, &total)); }).join();

  REQUIRE_CU(driver.cuDevicePrimaryCtxRetain(&context, 0));
  REQUIRE_CU(driver.cuDevicePrimaryCtxRelease_v2(0));
  CHECK_CU(CUDA_SUCCESS, driver.cuMemGetInfo_v2(&free, &total));
  REQUIRE_CU(driver.cuDevicePrimaryCtxRelease_v2(0));
  CHECK_CU(CUDA_ERROR_INVALID_CONTEXT, driver.cuMemGetInfo_v2(&free, &total));
  CHECK_CU(CUDA_ERROR_INVALID_CONTEXT, driver.cuDevicePrimaryCtxRelease_v2(0));
  CHECK_CU(CUDA_ERROR_INVALID_CONTEXT, driver.cuCtxSetCurrent(context));
  CHECK_CU(CUDA_ERROR_INVALID_CONTEXT, driver.cuCtxSetCurrent(reinterpret_cast<CUcontext>(uintptr_t{0x77})));
}

TEST("sim: unknown, foreign and destroyed handles are refused") {
  const SimDriver driver{{"DEVICES", "8MiB,8MiB"}};
  driver.start();
  CUstream stream = nullptr;
  CUevent event = nullptr;
  REQUIRE_CU(driver.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  REQUIRE_CU(driver.cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));

  CHECK_CU(CUDA_ERROR_INVALID_HANDLE, driver.cuStreamSynchronize(reinterpret_cast<CUstream>(event)));
  CHECK_CU(CUDA_ERROR_INVALID_HANDLE, driver.cuEventRecord(reinterpret_cast<CUevent>(stream), stream));
  CHECK_CU(CUDA_ERROR_INVALID_HANDLE, driver.cuStreamSynchronize(reinterpret_cast<CUstream>(uintptr_t{0x77})));
  CHECK_CU(CUDA_ERROR_INVALID_HANDLE, driver.cuModuleUnload(reinterpret_cast<CUmodule>(stream)));
  driver.use(1);
  CHECK_CU(CUDA_ERROR_INVALID_HANDLE, driver.cuEventRecord(event, nullptr));
  CHECK_CU(CUDA_ERROR_INVALID_HANDLE, driver.cuStreamSynchronize(stream));
  driver.use(0);

  REQUIRE_CU(driver.cuStreamDestroy_v2(stream));
  REQUIRE_CU(driver.cuEventDestroy_v2(event));
  CHECK_CU(CUDA_ERROR_INVALID_HANDLE, driver.cuStreamDestroy_v2(stream));
  CHECK_CU(CUDA_ERROR_INVALID_HANDLE, driver.cuStreamSynchronize(stream));
  CHECK_CU(CUDA_ERROR_INVALID_HANDLE, driver.cuEventSynchronize(event));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemFreeHost(&stream));
  CHECK(driver.live("*") == 0);
}

TEST("sim: memory of the program can be pinned once, and is not freed with its pin") {
  const SimDriver driver{{"DEVICES", "8MiB"}};
  driver.start();
  std::vector<char> memory(100);
  REQUIRE_CU(driver.cuMemHostRegister_v2(memory.data(), memory.size(), CU_MEMHOSTREGISTER_PORTABLE));
  CHECK(driver.live("cuMemHostAlloc") == 1);
  CHECK_CU(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, driver.cuMemHostRegister_v2(&memory[99], 1, 0));
  CHECK_CU(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, driver.cuMemHostRegister_v2(memory.data(), 1, 0));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemHostRegister_v2(nullptr, 1, 0));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemFreeHost(memory.data()));
  REQUIRE_CU(driver.cuMemHostUnregister(memory.data()));
  CHECK_CU(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, driver.cuMemHostUnregister(memory.data()));
  memory[99] = 1;
  CHECK(driver.live("*") == 0);
}

TEST("sim: a copy on a stream is asynchronous, and done after synchronization") {
  const SimDriver driver{{"DEVICES", "8MiB"}};
  driver.start();
  const SimMemory memory(driver, 0, kSimGranule);
  CUstream stream = nullptr;
  CUevent event = nullptr;
  REQUIRE_CU(driver.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  REQUIRE_CU(driver.cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
  CHECK_CU(CUDA_SUCCESS, driver.cuEventSynchronize(event));
  {
    const Pinned in(driver, 4096), out(driver, 4096);
    std::strcpy(in.text(), "early");
    std::strcpy(out.text(), "nothing");

    // The delay is longer than any test. Clearing it ends the waits in progress.
    REQUIRE(driver.set("LATENCY_US", kForEver) == 0);
    REQUIRE_CU(driver.cuMemcpyHtoDAsync_v2(memory.address(), in.text(), 6, stream));
    REQUIRE_CU(driver.cuMemcpyDtoHAsync_v2(out.text(), memory.address(), 6, stream));
    REQUIRE_CU(driver.cuEventRecord(event, stream));
    CHECK(std::string(out.text()) == "nothing");
    // Pinned memory is read when the copy runs, not when it is enqueued.
    std::strcpy(in.text(), "later");
    REQUIRE(driver.set("LATENCY_US", "") == 0);
    CHECK_CU(CUDA_SUCCESS, driver.cuEventSynchronize(event));
    CHECK(std::string(out.text()) == "later");

    // A small pageable source is copied during the call.
    REQUIRE(driver.set("LATENCY_US", kForEver) == 0);
    char pageable[] = "early";
    REQUIRE_CU(driver.cuMemcpyHtoDAsync_v2(memory.address(), pageable, 6, stream));
    std::strcpy(pageable, "later");
    REQUIRE_CU(driver.cuMemcpyDtoHAsync_v2(out.text(), memory.address(), 6, stream));
    REQUIRE(driver.set("LATENCY_US", "") == 0);
    CHECK_CU(CUDA_SUCCESS, driver.cuStreamSynchronize(stream));
    CHECK(std::string(out.text()) == "early");
  }
  REQUIRE_CU(driver.cuEventDestroy_v2(event));
  REQUIRE_CU(driver.cuStreamDestroy_v2(stream));
}

TEST("sim: many threads can use and destroy streams and mappings at once") {
  const SimDriver driver{{"DEVICES", "64MiB"}};
  driver.start();
  std::vector<std::thread> threads;
  for (unsigned char id = 0; id < 6; ++id) {
    threads.emplace_back([&driver, id] {
      driver.use(0);
      for (int round = 0; round < 8; ++round) {
        const SimMemory memory(driver, 0, 2 * kSimGranule);
        std::vector<unsigned char> seen(2 * kSimGranule);
        CUstream stream = nullptr;
        REQUIRE_CU(driver.cuStreamCreate(&stream, 0));
        CHECK_CU(CUDA_SUCCESS, driver.cuMemsetD8Async(memory.address(), id, seen.size(), stream));
        CHECK_CU(CUDA_SUCCESS, driver.cuMemcpyDtoHAsync_v2(seen.data(), memory.address(), seen.size(), stream));
        CHECK(seen == std::vector<unsigned char>(seen.size(), id));
        CHECK_CU(CUDA_SUCCESS, driver.cuMemsetD8Async(memory.address(), 0xff, seen.size(), stream));
        // Unmapping waits for running operations only. Later ones would fault, so the stream is synchronized first.
        CHECK_CU(CUDA_SUCCESS, driver.cuStreamDestroy_v2(stream));
      }
    });
  }
  for (std::thread &thread : threads) thread.join();
  CHECK(driver.live("*") == 0);
}
