/** The simulator's modules and kernel launches, with both engines. */
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "../hash/sha256.h"
#include "../kernels/tree_level.h"
#include "sim_driver.h"

using test::kSimGranule;
using test::SimDriver;
using test::SimMemory;

namespace {

constexpr unsigned char kUntouched = 0xee;
constexpr char kForEver[] = "3600000000";  // longer than any test; a change ends the waits

/** A loaded module with the kernel, and device memory for input and output. */
struct Bench {
  explicit Bench(const SimDriver &driver)
      : driver(driver), input(driver, 0, kSimGranule), output(driver, 0, kSimGranule) {
    const std::string image = test::sim_kernels();
    REQUIRE_CU(driver.cuModuleLoadData(&module, image.data()));
    REQUIRE_CU(driver.cuModuleGetFunction(&kernel, module, vram::tree_level::kKernelName));
  }
  ~Bench() { CHECK_CU(CUDA_SUCCESS, driver.cuModuleUnload(module)); }

  CUresult launch(CUdeviceptr from, uint64_t bytes, CUdeviceptr to, unsigned grid,
                  unsigned block = vram::tree_level::kThreads) const {
    void *parameters[] = {&from, &bytes, &to};
    const CUresult launched = driver.cuLaunchKernel(kernel, grid, 1, 1, block, 1, 1, 0, nullptr, parameters, nullptr);
    return launched != CUDA_SUCCESS ? launched : driver.cuStreamSynchronize(nullptr);
  }

  const SimDriver &driver;
  SimMemory input, output;
  CUmodule module = nullptr;
  CUfunction kernel = nullptr;
};

void check_ragged_lengths(const char *engine) {
  const SimDriver driver{{"DEVICES", "16MiB"}, {"ENGINE", engine}};
  driver.start();
  const Bench bench(driver);
  std::vector<uint8_t> data(kSimGranule);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<uint8_t>(i * 2654435761u >> 13);
  REQUIRE_CU(bench.input.write(data.data(), data.size()));

  const uint64_t block = vram::kBlockBytes, thread_block = vram::tree_level::kThreads * block;
  for (const uint64_t bytes :
       {uint64_t{1}, uint64_t{15}, uint64_t{16}, uint64_t{17}, block - 1, block, block + 1, 5 * block + 128,
        thread_block - 1, thread_block, thread_block + 1, 2 * thread_block + 7}) {
    const uint64_t blocks = vram::block_count(bytes);
    std::vector<uint8_t> expected((blocks + 1) * vram::kDigestBytes, kUntouched), seen(expected.size());
    vram::hash_blocks(data.data(), bytes, expected.data());
    REQUIRE_CU(driver.cuMemsetD8Async(bench.output.address(), kUntouched, seen.size(), nullptr));
    CHECK_CU(CUDA_SUCCESS,
             bench.launch(bench.input.address(), bytes, bench.output.address(), vram::tree_level::grid_size(bytes)));
    REQUIRE_CU(bench.output.read(seen.data(), seen.size()));
    CHECK(seen == expected);
  }

  // A grid that is too small hashes only the blocks that it covers.
  std::vector<uint8_t> expected(65 * vram::kDigestBytes, kUntouched), seen(expected.size());
  vram::hash_blocks(data.data(), thread_block, expected.data());
  REQUIRE_CU(driver.cuMemsetD8Async(bench.output.address(), kUntouched, seen.size(), nullptr));
  CHECK_CU(CUDA_SUCCESS, bench.launch(bench.input.address(), 2 * thread_block, bench.output.address(), 1));
  REQUIRE_CU(bench.output.read(seen.data(), seen.size()));
  CHECK(seen == expected);
}

}  // namespace

TEST("sim: the source engine hashes every length as the host does") {
  check_ragged_lengths("source");
}

TEST("sim: the fast engine hashes every length as the host does") {
  check_ragged_lengths("fast");
}

TEST("sim: a kernel that has no bytes to hash ends") {
  for (const char *engine : {"source", "fast"}) {
    const SimDriver driver{{"DEVICES", "16MiB"}, {"ENGINE", engine}};
    driver.start();
    const Bench bench(driver);
    CHECK_CU(CUDA_SUCCESS, bench.launch(bench.input.address(), 0, bench.output.address(), 1));
  }
}

TEST("sim: a kernel of the fast engine hashes all its bytes while other threads use every core") {
  const SimDriver driver{{"DEVICES", "16MiB"}, {"ENGINE", "fast"}};
  driver.start();
  const Bench bench(driver);
  std::vector<uint8_t> data(kSimGranule), expected(kSimGranule / vram::kBlockBytes * vram::kDigestBytes);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<uint8_t>(i * 2654435761u >> 13);
  vram::hash_blocks(data.data(), data.size(), expected.data());
  REQUIRE_CU(bench.input.write(data.data(), data.size()));

  std::atomic<bool> stopped{false};
  std::vector<std::thread> busy;
  for (unsigned i = 0; i < 2 * std::thread::hardware_concurrency(); ++i) {
    busy.emplace_back([&stopped] {
      while (!stopped) continue;
    });
  }
  const CUresult launched = bench.launch(bench.input.address(), data.size(), bench.output.address(),
                                         vram::tree_level::grid_size(data.size()));
  stopped = true;
  for (std::thread &thread : busy) thread.join();
  CHECK_CU(CUDA_SUCCESS, launched);
  std::vector<uint8_t> seen(expected.size());
  REQUIRE_CU(bench.output.read(seen.data(), seen.size()));
  CHECK(seen == expected);
}

TEST("sim: a launch can access exactly the bytes that its device can") {
  for (const char *engine : {"source", "fast"}) {
    const SimDriver driver{{"DEVICES", "16MiB"}, {"ENGINE", engine}};
    driver.start();
    const Bench bench(driver);
    const CUdeviceptr in = bench.input.address(), out = bench.output.address();
    const uint64_t block = vram::kBlockBytes;
    const auto expect = [&](CUresult expected, CUresult actual) {
      CHECK_CU(expected, actual);
      driver.reset();
    };
    expect(CUDA_SUCCESS, bench.launch(in + kSimGranule - 16, 16, out + kSimGranule - 32, 1));
    expect(CUDA_ERROR_ILLEGAL_ADDRESS, bench.launch(in + kSimGranule - 16, 17, out, 1));
    expect(CUDA_ERROR_ILLEGAL_ADDRESS, bench.launch(in, 2 * block, out + kSimGranule - 32, 1));
    expect(CUDA_ERROR_MISALIGNED_ADDRESS, bench.launch(in + 8, block, out, 1));
    REQUIRE_CU(bench.output.set_access(0, CU_MEM_ACCESS_FLAGS_PROT_READ));
    expect(CUDA_ERROR_ILLEGAL_ADDRESS, bench.launch(in, block, out, 1));
    REQUIRE_CU(bench.output.set_access(0, CU_MEM_ACCESS_FLAGS_PROT_READWRITE));
    REQUIRE_CU(bench.input.set_access(0, CU_MEM_ACCESS_FLAGS_PROT_READ));
    expect(CUDA_SUCCESS, bench.launch(in, block, out, 1));

    expect(CUDA_ERROR_INVALID_VALUE, bench.launch(in, block, out, 0));
    expect(CUDA_ERROR_INVALID_VALUE, bench.launch(in, block, out, 1, 32));
    expect(CUDA_ERROR_INVALID_VALUE, bench.launch(in, block, out, 1, 128));
  }
}

TEST("sim: level 1 on another stream is refused unless the host has waited for level 0") {
  for (const char *engine : {"source", "fast"}) {
    const SimDriver driver{{"DEVICES", "16MiB"}, {"ENGINE", engine}};
    driver.start();
    const Bench bench(driver);
    const SimMemory top(driver, 0, kSimGranule);
    CUstream streams[2] = {};
    for (CUstream &stream : streams) REQUIRE_CU(driver.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    const auto launch = [&](CUstream stream, CUdeviceptr from, uint64_t bytes, CUdeviceptr to) {
      void *parameters[] = {&from, &bytes, &to};
      return driver.cuLaunchKernel(bench.kernel, vram::tree_level::grid_size(bytes), 1, 1, vram::tree_level::kThreads, 1,
                                   1, 0, stream, parameters, nullptr);
    };
    const CUdeviceptr data = bench.input.address(), leaves = bench.output.address();
    constexpr uint64_t kLeafBytes = 512 * vram::kDigestBytes;
    std::vector<uint8_t> zeros(kSimGranule);
    REQUIRE_CU(bench.input.write(zeros.data(), zeros.size()));

    REQUIRE(driver.set("LATENCY_US", kForEver) == 0);
    REQUIRE_CU(launch(streams[0], data, kSimGranule, leaves));
    CHECK_CU(CUDA_ERROR_INVALID_VALUE, launch(streams[1], leaves, kLeafBytes, top.address()));
    CHECK_CU(CUDA_ERROR_INVALID_VALUE, launch(streams[1], data, kSimGranule, leaves));
    CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemsetD8Async(data, 0, 4096, streams[1]));
    // Both only read the data, or the streams use different halves of the scratch memory.
    CHECK_CU(CUDA_SUCCESS, launch(streams[1], data, kSimGranule / 2, leaves + kSimGranule / 2));
    CHECK_CU(CUDA_SUCCESS, launch(streams[0], leaves, kLeafBytes, top.address()));
    REQUIRE(driver.set("LATENCY_US", "") == 0);
    for (const CUstream stream : streams) CHECK_CU(CUDA_SUCCESS, driver.cuStreamSynchronize(stream));
    CHECK_CU(CUDA_SUCCESS, launch(streams[1], leaves, kLeafBytes, top.address()));
    CHECK_CU(CUDA_SUCCESS, driver.cuStreamSynchronize(streams[1]));
    for (const CUstream stream : streams) REQUIRE_CU(driver.cuStreamDestroy_v2(stream));
  }
}

// NVIDIA does not document which functions fail then. These are the answers of driver 580 on an H200.
TEST("sim: after a launch without access the context is dead, and its memory can still be released") {
  const SimDriver driver{{"DEVICES", "16MiB"}};
  driver.start();
  const Bench bench(driver);
  const CUdeviceptr in = bench.input.address(), out = bench.output.address();
  CUevent event = nullptr;
  CUstream stream = nullptr;
  void *buffer = nullptr;
  REQUIRE_CU(driver.cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
  REQUIRE_CU(bench.output.set_access(0, CU_MEM_ACCESS_FLAGS_PROT_READ));
  CHECK_CU(CUDA_ERROR_ILLEGAL_ADDRESS, bench.launch(in, vram::kBlockBytes, out, 1));
  size_t free = 0, total = 0;
  CHECK_CU(CUDA_ERROR_ILLEGAL_ADDRESS, driver.cuMemGetInfo_v2(&free, &total));
  CHECK_CU(CUDA_ERROR_ILLEGAL_ADDRESS, driver.cuMemsetD8Async(in, 0, 1, nullptr));
  CHECK_CU(CUDA_ERROR_ILLEGAL_ADDRESS, driver.cuEventRecord(event, nullptr));
  CHECK_CU(CUDA_ERROR_ILLEGAL_ADDRESS, driver.cuEventDestroy_v2(event));
  CHECK_CU(CUDA_ERROR_ILLEGAL_ADDRESS, driver.cuStreamCreate(&stream, 0));
  CHECK_CU(CUDA_ERROR_ILLEGAL_ADDRESS, driver.cuMemHostAlloc(&buffer, 1, 0));
  int count = 0;
  CHECK_CU(CUDA_SUCCESS, driver.cuDeviceGetCount(&count));
  CHECK_CU(CUDA_SUCCESS, bench.output.set_access(0, CU_MEM_ACCESS_FLAGS_PROT_READWRITE));
  {
    const SimMemory more(driver, 0, kSimGranule);  // creates, maps, unmaps and releases
  }
  driver.reset();
  CHECK_CU(CUDA_SUCCESS, driver.cuEventDestroy_v2(event));
  CHECK_CU(CUDA_SUCCESS, bench.launch(in, vram::kBlockBytes, out, 1));
}

TEST("sim: an image that is not a simulator module is refused") {
  const SimDriver driver{{"DEVICES", "8MiB"}};
  driver.start();
  CUmodule module = nullptr;
  const auto load = [&](const std::string &image) { return driver.cuModuleLoadData(&module, image.c_str()); };
  CHECK_CU(CUDA_ERROR_NO_BINARY_FOR_GPU, load(".version 9.0\n.target sm_75\n"));
  CHECK_CU(CUDA_ERROR_NO_BINARY_FOR_GPU, load("//\n// Generated by a compiler\n"));
  CHECK_CU(CUDA_ERROR_NO_BINARY_FOR_GPU, load("\x50\xed\x55\xba"));
  CHECK_CU(CUDA_ERROR_INVALID_IMAGE, load("junk"));
  CHECK_CU(CUDA_ERROR_INVALID_IMAGE, load(""));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuModuleLoadData(&module, nullptr));

  std::string cubin(4096, '\0');
  std::memcpy(&cubin[0],
              "\x7f"
              "ELF\x02\x01\x01",
              7);
  CHECK_CU(CUDA_ERROR_NO_BINARY_FOR_GPU, load(cubin));

  // Corrupts each header field in turn. The module is refused, or loads if the field is unused.
  const std::string good = test::sim_kernels();
  for (size_t i = 16; i < 64; ++i) {
    std::string damaged = good;
    damaged[i] = static_cast<char>(~damaged[i]);
    if (load(damaged) == CUDA_SUCCESS) CHECK_CU(CUDA_SUCCESS, driver.cuModuleUnload(module));
  }
  CHECK(driver.live("cuModuleLoadData") == 0);
}

TEST("sim: an image that ends at unmapped memory is refused without a signal") {
  const SimDriver driver{{"DEVICES", "8MiB"}};
  driver.start();
  const std::string good = test::sim_kernels();
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void *pages = mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(pages != MAP_FAILED);
  REQUIRE(mprotect(static_cast<char *>(pages) + page, page, PROT_NONE) == 0);
  CUmodule module = nullptr;
  std::memcpy(pages, good.data(), page);
  CHECK_CU(CUDA_ERROR_INVALID_IMAGE, driver.cuModuleLoadData(&module, pages));
  char *last = static_cast<char *>(pages) + page - 4;
  std::memcpy(last, good.data(), 4);
  CHECK_CU(CUDA_ERROR_INVALID_IMAGE, driver.cuModuleLoadData(&module, last));
  munmap(pages, 2 * page);
}

TEST("sim: functions are found by name and end with their module") {
  const SimDriver driver{{"DEVICES", "8MiB"}};
  driver.start();
  const std::string image = test::sim_kernels();
  CUmodule first = nullptr, second = nullptr;
  CUfunction function = nullptr;
  REQUIRE_CU(driver.cuModuleLoadData(&first, image.data()));
  REQUIRE_CU(driver.cuModuleLoadData(&second, image.data()));
  CHECK_CU(CUDA_ERROR_NOT_FOUND, driver.cuModuleGetFunction(&function, first, "vram_tree"));
  REQUIRE_CU(driver.cuModuleGetFunction(&function, first, vram::tree_level::kKernelName));
  REQUIRE_CU(driver.cuModuleUnload(first));
  void *parameters[3] = {};
  CHECK_CU(CUDA_ERROR_INVALID_HANDLE,
           driver.cuLaunchKernel(function, 1, 1, 1, vram::tree_level::kThreads, 1, 1, 0, nullptr, parameters, nullptr));
  CHECK_CU(CUDA_ERROR_INVALID_HANDLE, driver.cuModuleGetFunction(&function, first, vram::tree_level::kKernelName));
  CHECK_CU(CUDA_ERROR_INVALID_HANDLE, driver.cuModuleUnload(first));
  REQUIRE_CU(driver.cuModuleUnload(second));
}
