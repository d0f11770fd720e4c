#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

#include "content.h"
#include "harness.h"
#include "session.h"
#include "simulator.h"

namespace test {
namespace {

/** Total size of the mappings of this process with the given permissions, such as "rw-s". */
uint64_t mapped_bytes(const std::string &permissions) {
  std::ifstream maps("/proc/self/maps");
  uint64_t total = 0;
  for (std::string line; std::getline(maps, line);) {
    unsigned long long begin = 0, end = 0;
    char mode[5] = {};
    if (std::sscanf(line.c_str(), "%llx-%llx %4s", &begin, &end, mode) == 3 && permissions == mode)
      total += end - begin;
  }
  return total;
}

}  // namespace

TEST("writing, reading or sealing sealed memory is refused without a driver call") {
  const Simulator simulator;
  const Session session;
  const uint64_t allocation = session.alloc(0, 100);
  REQUIRE_OK(vram_seal(allocation));
  simulator.reset();
  uint8_t byte = 1;
  CHECK_STATUS(VRAM_SEALED, vram_write(allocation, 0, &byte, 1));
  CHECK_STATUS(VRAM_SEALED, vram_write(allocation, 0, &byte, 0));
  CHECK_STATUS(VRAM_SEALED, vram_read(allocation, 0, &byte, 1));
  CHECK_STATUS(VRAM_SEALED, vram_seal(allocation));
  uint64_t load = 0;
  CHECK_STATUS(VRAM_SEALED, vram_load_open(allocation, 0, &load));
  CHECK(simulator.calls("*") == 0);
  vram_allocation_info info = {};
  REQUIRE_OK(vram_allocation_get_info(allocation, &info));
  CHECK(info.sealed == 1);
  CHECK_STATUS(VRAM_OK, vram_free(allocation));
}

TEST("a seal removes write permission from the mapping") {
  const Simulator simulator;
  const Session session;
  const uint64_t allocation = session.alloc(0, 6 * kMiB);
  const uint64_t writable = mapped_bytes("rw-s"), readable = mapped_bytes("r--s");
  REQUIRE_OK(vram_seal(allocation));
  CHECK(writable - mapped_bytes("rw-s") == 6 * kMiB);
  CHECK(mapped_bytes("r--s") - readable == 6 * kMiB);
}

TEST("the driver refuses copies and memsets to read-only memory, and the device stays usable") {
  const Session session;
  const DriverFunctions &driver = driver_functions();
  CUcontext context = nullptr;
  REQUIRE(driver.cuDevicePrimaryCtxRetain(&context, 0) == CUDA_SUCCESS);
  REQUIRE(driver.cuCtxSetCurrent(context) == CUDA_SUCCESS);
  CUmemAllocationProp prop = {};
  prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  prop.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
  CUmemGenericAllocationHandle memory = 0;
  CUdeviceptr address = 0;
  REQUIRE(driver.cuMemCreate(&memory, 2 * kMiB, &prop, 0) == CUDA_SUCCESS);
  REQUIRE(driver.cuMemAddressReserve(&address, 2 * kMiB, 0, 0, 0) == CUDA_SUCCESS);
  REQUIRE(driver.cuMemMap(address, 2 * kMiB, 0, memory, 0) == CUDA_SUCCESS);
  const CUmemAccessDesc read_only = {prop.location, CU_MEM_ACCESS_FLAGS_PROT_READ};
  REQUIRE(driver.cuMemSetAccess(address, 2 * kMiB, &read_only, 1) == CUDA_SUCCESS);

  CUstream stream = nullptr;
  REQUIRE(driver.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING) == CUDA_SUCCESS);
  CHECK(driver.cuMemsetD8Async(address, 1, 4096, stream) == CUDA_ERROR_INVALID_VALUE);
  CHECK(driver.cuMemcpyHtoDAsync_v2(address, session.slot(0), 4096, stream) == CUDA_ERROR_INVALID_VALUE);
  CHECK(driver.cuMemcpyDtoHAsync_v2(session.slot(0), address, 4096, stream) == CUDA_SUCCESS);
  CHECK(driver.cuStreamSynchronize(stream) == CUDA_SUCCESS);
  (void)session.info(0);

  CHECK(driver.cuStreamDestroy_v2(stream) == CUDA_SUCCESS);
  CHECK(driver.cuMemUnmap(address, 2 * kMiB) == CUDA_SUCCESS);
  CHECK(driver.cuMemAddressFree(address, 2 * kMiB) == CUDA_SUCCESS);
  CHECK(driver.cuMemRelease(memory) == CUDA_SUCCESS);
  CHECK(driver.cuDevicePrimaryCtxRelease_v2(0) == CUDA_SUCCESS);
}

TEST("vram_attest finds no violation before and after the seal") {
  const Session session;
  for (uint32_t device = 0; device < session.device_count(); ++device) {
    const uint64_t allocation = session.alloc(device, 3 * kMiB);
    vram_residency residency = {99, 99};
    CHECK_STATUS(VRAM_OK, vram_attest(allocation, &residency));
    CHECK(residency.violations == 0 && residency.sealed == 0);
    REQUIRE_OK(vram_seal(allocation));
    CHECK_STATUS(VRAM_OK, vram_attest(allocation, &residency));
    CHECK(residency.violations == 0 && residency.sealed == 1);
  }
}

TEST("vram_prove seals, attests and digests, and the first step that fails ends it") {
  const Session session;
  const Simulator simulator;
  const std::vector<uint8_t> data(300000, 7);
  uint8_t hashes[VRAM_DIGEST_BYTES] = {}, expected[VRAM_DIGEST_BYTES] = {};
  vram_load_result loaded = {};
  const uint64_t allocation = session.load(0, data, &loaded);
  vram_residency residency = {};
  simulator.set("FAULTS", "cuMemSetAccess:1=999");
  CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + 999, vram_prove(allocation, &residency, hashes, sizeof(hashes)));
  simulator.set("FAULTS", "");
  CHECK(std::memcmp(hashes, expected, sizeof(hashes)) == 0);
  REQUIRE_OK(vram_prove(allocation, &residency, hashes, sizeof(hashes)));
  CHECK(residency.sealed == 1 && residency.violations == 0);
  REQUIRE_OK(vram_digest(allocation, 0, data.size(), expected, sizeof(expected)));
  CHECK(std::memcmp(hashes, expected, sizeof(hashes)) == 0);
  CHECK_STATUS(VRAM_SEALED, vram_prove(allocation, &residency, hashes, sizeof(hashes)));

  const uint64_t spoofed = session.load(0, data, &loaded);
  simulator.set("SPOOFS", "is_managed=1");
  CHECK_STATUS(VRAM_POLICY_VIOLATION, vram_prove(spoofed, &residency, hashes, sizeof(hashes)));
  CHECK(residency.sealed == 1 && residency.violations == VRAM_VIOLATION_MANAGED);
}

TEST("every spoofed answer is a violation of its own, and several are reported together") {
  const struct {
    const char *spoof;
    uint32_t violation;
  } rows[] = {
      {"memory_type=1", VRAM_VIOLATION_MEMORY_TYPE},
      {"is_managed=1", VRAM_VIOLATION_MANAGED},
      {"ordinal=1", VRAM_VIOLATION_ORDINAL},
      {"host_pointer=1", VRAM_VIOLATION_HOST_POINTER},
      {"location_type=0", VRAM_VIOLATION_LOCATION},
      {"location_id=1", VRAM_VIOLATION_LOCATION_ID},
      {"access=3", VRAM_VIOLATION_ACCESS},
      {"access=0", VRAM_VIOLATION_ACCESS},
      {"foreign_access=1", VRAM_VIOLATION_FOREIGN_ACCESS},
      {"memory_type=1,is_managed=1,ordinal=1,host_pointer=1,location_type=0,location_id=1,access=3,foreign_access=1",
       0xff},
  };
  const Simulator simulator;
  const Session session;
  const uint64_t allocation = session.alloc(0, 3 * kMiB);
  REQUIRE_OK(vram_seal(allocation));
  for (const auto &row : rows) {
    simulator.set("SPOOFS", row.spoof);
    vram_residency residency = {};
    CHECK_STATUS(VRAM_POLICY_VIOLATION, vram_attest(allocation, &residency));
    if (residency.violations != row.violation) fail(__FILE__, __LINE__, row.spoof);
    CHECK(residency.sealed == 1);
  }
  simulator.set("SPOOFS", "");
  vram_residency residency = {};
  CHECK_STATUS(VRAM_OK, vram_attest(allocation, &residency));
}

}  // namespace test
