/** The simulator's memory: capacity, reuse, mappings, access and backing files. */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <vector>

#include "sim_driver.h"

using test::kSimGranule;
using test::sim_properties;
using test::SimDriver;
using test::SimMemory;

namespace {

using Bytes = std::vector<unsigned char>;

size_t free_bytes(const SimDriver &driver) {
  size_t free = 0, total = 0;
  REQUIRE_CU(driver.cuMemGetInfo_v2(&free, &total));
  return free;
}

/** Makes the host kernel write one byte at an address of this process. Returns 1, or -1 with errno. */
ssize_t write_by_kernel(CUdeviceptr address) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  REQUIRE(write(ends[1], "x", 1) == 1);
  const ssize_t taken = read(ends[0], reinterpret_cast<void *>(address), 1);
  const int error = errno;
  close(ends[0]);
  close(ends[1]);
  errno = error;
  return taken;
}

/** An empty directory. The destructor deletes it with the device files in it. */
class Directory {
 public:
  Directory() { REQUIRE(mkdtemp(path_) != nullptr); }
  ~Directory() {
    unlink(device_file(0).c_str());
    rmdir(path_);
  }
  std::string path() const { return path_; }
  std::string device_file(int device) const { return path() + "/gpu" + std::to_string(device) + "-memory.vram"; }

 private:
  char path_[32] = "/tmp/cuda_sim-test-XXXXXX";
};

}  // namespace

TEST("sim: read-only memory cannot be written by the device or by the host kernel") {
  const SimDriver driver{{"DEVICES", "8MiB"}};
  driver.start();
  const SimMemory memory(driver, 0, kSimGranule);
  REQUIRE_CU(memory.write("weights", 7));
  REQUIRE(write_by_kernel(memory.address() + 100) == 1);

  REQUIRE_CU(memory.set_access(0, CU_MEM_ACCESS_FLAGS_PROT_READ));
  CHECK(write_by_kernel(memory.address()) == -1);
  CHECK(errno == EFAULT);
  char text[8] = {};
  CHECK_CU(CUDA_SUCCESS, memory.read(text, 7));
  CHECK(std::string(text) == "weights");

  CHECK_CU(CUDA_ERROR_INVALID_VALUE, memory.write("damaged", 7));
  CHECK_CU(CUDA_SUCCESS, memory.read(text, 7));
  CHECK(std::string(text) == "weights");
}

TEST("sim: a copy or a memset without access is refused, and the context stays usable") {
  const SimDriver driver{{"DEVICES", "8MiB,8MiB"}};
  driver.start(0);
  const SimMemory memory(driver, 0, kSimGranule);
  const SimMemory next(driver, 0, kSimGranule);
  std::vector<char> bytes(2 * kSimGranule);

  const auto expect_refused = [&](CUdeviceptr address, size_t count) {
    CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemcpyHtoDAsync_v2(address, bytes.data(), count, nullptr));
    CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemcpyDtoHAsync_v2(bytes.data(), address, count, nullptr));
    CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemsetD8Async(address, 1, count, nullptr));
    CHECK_CU(CUDA_SUCCESS, driver.cuStreamSynchronize(nullptr));
  };
  expect_refused(0, 1);
  expect_refused(0x1000, 1);
  expect_refused(memory.address() + kSimGranule - 1, 2);
  expect_refused(UINT64_MAX, 2);
  REQUIRE_CU(memory.set_access(0, CU_MEM_ACCESS_FLAGS_PROT_NONE));
  expect_refused(memory.address(), 1);
  REQUIRE_CU(memory.set_access(0, CU_MEM_ACCESS_FLAGS_PROT_READWRITE));

  // Another device has no access by default.
  driver.use(1);
  expect_refused(memory.address(), 1);
  REQUIRE_CU(memory.set_access(1, CU_MEM_ACCESS_FLAGS_PROT_READ));
  CHECK_CU(CUDA_SUCCESS, memory.read(bytes.data(), 1));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, memory.write(bytes.data(), 1));
}

TEST("sim: freed memory is reused last in, first out, and keeps its content") {
  const SimDriver driver{{"DEVICES", "16MiB"}};
  driver.start();
  const Bytes secret(kSimGranule, 0x5e);
  {
    const SimMemory older(driver, 0, kSimGranule);
  }
  {
    const SimMemory first(driver, 0, kSimGranule);
    const SimMemory second(driver, 0, kSimGranule);
    REQUIRE_CU(second.write(secret.data(), secret.size()));
    REQUIRE_CU(first.write(Bytes(kSimGranule, 0x11).data(), kSimGranule));
  }
  // Destructors run in reverse order: `first` was freed last.
  const SimMemory again(driver, 0, kSimGranule);
  const SimMemory before(driver, 0, kSimGranule);
  Bytes seen(kSimGranule);
  REQUIRE_CU(again.read(seen.data(), seen.size()));
  CHECK(seen == Bytes(kSimGranule, 0x11));
  REQUIRE_CU(before.read(seen.data(), seen.size()));
  CHECK(seen == secret);
}

TEST("sim: fragmented memory is mapped to contiguous addresses") {
  const SimDriver driver{{"DEVICES", "8MiB"}};
  driver.start();
  auto a = std::make_unique<SimMemory>(driver, 0, kSimGranule);
  auto b = std::make_unique<SimMemory>(driver, 0, kSimGranule);
  auto c = std::make_unique<SimMemory>(driver, 0, kSimGranule);
  a.reset();
  c.reset();
  const SimMemory pieces(driver, 0, 3 * kSimGranule);
  Bytes data(3 * kSimGranule), seen(3 * kSimGranule), other(kSimGranule);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<unsigned char>(i * 2654435761u >> 20);
  REQUIRE_CU(b->write(Bytes(kSimGranule, 7).data(), kSimGranule));
  REQUIRE_CU(pieces.write(data.data(), data.size()));
  REQUIRE_CU(pieces.read(seen.data(), seen.size()));
  CHECK(seen == data);
  REQUIRE_CU(b->read(other.data(), other.size()));
  CHECK(other == Bytes(kSimGranule, 7));
}

TEST("sim: capacity is limited, and memory is in use while a handle or a mapping exists") {
  const SimDriver driver{{"DEVICES", "8MiB"}};
  driver.start();
  const CUmemAllocationProp prop = sim_properties(0);
  CUmemGenericAllocationHandle handle = 0, retained = 0, none = 0;
  REQUIRE_CU(driver.cuMemCreate(&handle, 3 * kSimGranule, &prop, 0));
  CHECK(free_bytes(driver) == kSimGranule);
  CHECK_CU(CUDA_ERROR_OUT_OF_MEMORY, driver.cuMemCreate(&none, 2 * kSimGranule, &prop, 0));
  CHECK_CU(CUDA_ERROR_OUT_OF_MEMORY, driver.cuMemCreate(&none, SIZE_MAX / kSimGranule * kSimGranule, &prop, 0));

  CUdeviceptr address = 0;
  REQUIRE_CU(driver.cuMemAddressReserve(&address, 3 * kSimGranule, 0, 0, 0));
  REQUIRE_CU(driver.cuMemMap(address, 3 * kSimGranule, 0, handle, 0));
  REQUIRE_CU(driver.cuMemRelease(handle));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemRelease(handle));
  CHECK(free_bytes(driver) == kSimGranule);
  REQUIRE_CU(driver.cuMemRetainAllocationHandle(&retained, reinterpret_cast<void *>(address + 5)));
  REQUIRE_CU(driver.cuMemUnmap(address, 3 * kSimGranule));
  CHECK(free_bytes(driver) == kSimGranule);
  REQUIRE_CU(driver.cuMemRelease(retained));
  CHECK(free_bytes(driver) == 4 * kSimGranule);
  REQUIRE_CU(driver.cuMemAddressFree(address, 3 * kSimGranule));
  CHECK(driver.live("*") == 0);
}

TEST("sim: invalid sizes, ranges and locations are refused") {
  const SimDriver driver{{"DEVICES", "8MiB"}};
  driver.start();
  CUmemAllocationProp prop = sim_properties(0);
  CUmemGenericAllocationHandle handle = 0;
  CUdeviceptr address = 0, misaligned = 0;
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemCreate(&handle, 0, &prop, 0));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemCreate(&handle, kSimGranule + 4096, &prop, 0));
  prop.location.id = 1;
  CHECK_CU(CUDA_ERROR_INVALID_DEVICE, driver.cuMemCreate(&handle, kSimGranule, &prop, 0));
  prop = sim_properties(0);
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemAddressReserve(&address, 4096, 0, 0, 0));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemAddressReserve(&misaligned, kSimGranule, 3, 0, 0));
  CHECK_CU(CUDA_ERROR_OUT_OF_MEMORY, driver.cuMemAddressReserve(&address, size_t{1} << 62, 0, 0, 0));

  REQUIRE_CU(driver.cuMemCreate(&handle, 2 * kSimGranule, &prop, 0));
  REQUIRE_CU(driver.cuMemAddressReserve(&address, 4 * kSimGranule, 16 * kSimGranule, 0, 0));
  CHECK(address % (16 * kSimGranule) == 0);
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemAddressReserve(&misaligned, kSimGranule, 0, 4096, 0));
  CHECK_CU(CUDA_ERROR_NOT_SUPPORTED, driver.cuMemMap(address, kSimGranule, 0, handle, 0));
  CHECK_CU(CUDA_ERROR_NOT_SUPPORTED, driver.cuMemMap(address, kSimGranule, kSimGranule, handle, 0));
  CHECK_CU(CUDA_ERROR_NOT_SUPPORTED, driver.cuMemMap(address, 3 * kSimGranule, 0, handle, 0));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemMap(address + 3 * kSimGranule, 2 * kSimGranule, 0, handle, 0));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemMap(address + 4096, 2 * kSimGranule, 0, handle, 0));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemMap(address, 2 * kSimGranule, 0, handle + 1, 0));
  REQUIRE_CU(driver.cuMemMap(address, 2 * kSimGranule, 0, handle, 0));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemMap(address + kSimGranule, 2 * kSimGranule, 0, handle, 0));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemUnmap(address, kSimGranule));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemUnmap(address, 3 * kSimGranule));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemAddressFree(address, 4 * kSimGranule));

  CUmemAccessDesc desc = {{static_cast<CUmemLocationType>(2), 0}, CU_MEM_ACCESS_FLAGS_PROT_READ};
  CHECK_CU(CUDA_ERROR_NOT_SUPPORTED, driver.cuMemSetAccess(address, 2 * kSimGranule, &desc, 1));
  desc = {{CU_MEM_LOCATION_TYPE_DEVICE, 1}, CU_MEM_ACCESS_FLAGS_PROT_READ};
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemSetAccess(address, 2 * kSimGranule, &desc, 1));
  desc = {{CU_MEM_LOCATION_TYPE_DEVICE, 0}, CU_MEM_ACCESS_FLAGS_PROT_READ};
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemSetAccess(address, 3 * kSimGranule, &desc, 1));

  REQUIRE_CU(driver.cuMemUnmap(address, 2 * kSimGranule));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemAddressFree(address, kSimGranule));
  REQUIRE_CU(driver.cuMemAddressFree(address, 4 * kSimGranule));
  REQUIRE_CU(driver.cuMemRelease(handle));
}

TEST("sim: memory in a directory can be changed from outside, and is cleared at start") {
  const Directory directory;
  const std::string path = directory.device_file(0);
  REQUIRE(std::ofstream(path).write("left behind", 11).good());
  const SimDriver driver{{"DEVICES", "8MiB"}, {"DIR", directory.path()}};
  driver.start();
  struct stat status = {};
  REQUIRE(stat(path.c_str(), &status) == 0);
  CHECK(status.st_size == 0);
  CHECK((status.st_mode & 0777) == 0600);

  const SimMemory memory(driver, 0, kSimGranule);
  REQUIRE_CU(memory.write("weights", 7));
  REQUIRE_CU(memory.set_access(0, CU_MEM_ACCESS_FLAGS_PROT_READ));

  const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
  REQUIRE(file >= 0);
  CHECK(pwrite(file, "W", 1, 0) == 1);
  char text[8] = {};
  CHECK_CU(CUDA_SUCCESS, memory.read(text, 7));
  CHECK(std::string(text) == "Weights");

  // The first simulator holds a lock on the file, so that a second one cannot truncate it.
  const SimDriver second{{"DEVICES", "8MiB"}, {"DIR", directory.path()}};
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, second.init());

  // Accessing a truncated file must be an error, not SIGBUS.
  CHECK(ftruncate(file, 0) == 0);
  CHECK_CU(CUDA_ERROR_ILLEGAL_ADDRESS, memory.read(text, 7));
  close(file);
}
