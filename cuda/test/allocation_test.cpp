#include <algorithm>
#include <vector>

#include "harness.h"
#include "session.h"
#include "simulator.h"

namespace test {

TEST("memory that a failed vram_alloc could not free is freed by the next vram_alloc and by vram_close") {
  const Session session;
  const Simulator simulator;
  const uint64_t before = session.info(0).free_bytes;
  for (const char *faults : {"cuMemAddressReserve:1=999,cuMemRelease:1+=999", "cuMemMap:1=999,cuMemAddressFree:1+=999",
                             "cuMemSetAccess:1=999,cuMemUnmap:1+=999"}) {
    uint64_t allocation = 0;
    simulator.set("FAULTS", faults);
    CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + 999, vram_alloc(session.driver(), 0, kMiB, alloc_flags(), &allocation));
    CHECK(session.info(0).free_bytes < before);
    simulator.set("FAULTS", "");
    REQUIRE_OK(vram_alloc(session.driver(), 0, kMiB, alloc_flags(), &allocation));
    REQUIRE_OK(vram_free(allocation));
    CHECK(session.info(0).free_bytes == before);
    simulator.set("FAULTS", faults);
    CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + 999, vram_alloc(session.driver(), 0, kMiB, alloc_flags(), &allocation));
    simulator.set("FAULTS", "");
  }
}

TEST("a failed vram_alloc of one driver does not stop the retries for another driver") {
  const Session session, other;
  const Simulator simulator;
  const uint64_t before = session.info(0).free_bytes;
  uint64_t allocation = 0;
  simulator.set("FAULTS", "cuMemAddressReserve:1=999,cuMemRelease:1+=999");
  CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + 999, vram_alloc(session.driver(), 0, kMiB, alloc_flags(), &allocation));
  CHECK(session.info(0).free_bytes < before);
  simulator.set("FAULTS", "");
  REQUIRE_OK(vram_free(other.alloc(0, kMiB)));
  REQUIRE_OK(vram_free(session.alloc(0, kMiB)));
  CHECK(session.info(0).free_bytes == before);
}

TEST("memory whose parts could be larger than any allocation has one part") {
  vram_options options = default_options();
  options.part_bytes = UINT64_MAX - VRAM_GROUP_BYTES + 1;
  const uint64_t driver = open_all_devices(options);
  uint64_t allocation = 0;
  vram_allocation_info info = {};
  REQUIRE_OK(vram_alloc(driver, 0, kMiB, alloc_flags(), &allocation));
  REQUIRE_OK(vram_allocation_get_info(allocation, &info));
  CHECK(info.part_bytes == info.mapped_bytes);
  REQUIRE_OK(vram_close(driver));
}

TEST("an allocation is rounded up to the granularity, aligned, and subtracted from free memory") {
  const Session session;
  const uint64_t granularity = session.info(0).granularity_bytes;
  for (const uint64_t bytes : {uint64_t{1}, granularity - 1, granularity, granularity + 1, 3 * granularity}) {
    const uint64_t free_before = session.info(0).free_bytes;
    const uint64_t allocation = session.alloc(0, bytes);
    vram_allocation_info info = {};
    REQUIRE_OK(vram_allocation_get_info(allocation, &info));
    CHECK(info.bytes == bytes);
    CHECK(info.mapped_bytes == (bytes + granularity - 1) / granularity * granularity);
    CHECK(info.alignment_bytes >= 256 && info.alignment_bytes % granularity == 0);
    CHECK(info.device == 0 && info.sealed == 0);
    CHECK(free_before - session.info(0).free_bytes == info.mapped_bytes);
    CHECK_STATUS(VRAM_OK, vram_free(allocation));
    CHECK(session.info(0).free_bytes == free_before);
  }
}

TEST("sizes above the limit, above free memory, and above 64 bits have different statuses") {
  const Session session;
  const uint64_t limit = default_options().max_allocation_bytes;
  uint64_t allocation = 0;
  CHECK_STATUS(VRAM_TOO_LARGE, vram_alloc(session.driver(), 0, limit + 1, alloc_flags(), &allocation));
  CHECK_STATUS(VRAM_TOO_LARGE, vram_alloc(session.driver(), 0, UINT64_MAX, alloc_flags(), &allocation));

  vram_options options = default_options();
  options.max_allocation_bytes = UINT64_MAX;
  const uint64_t driver = open_all_devices(options);
  const uint64_t free_before = session.info(0).free_bytes;
  CHECK_STATUS(VRAM_OUT_OF_MEMORY, vram_alloc(driver, 0, 10 * session.info(0).total_bytes, alloc_flags(), &allocation));
  CHECK_STATUS(VRAM_OUT_OF_MEMORY, vram_alloc(driver, 0, free_before + 1, alloc_flags(), &allocation));
  CHECK(session.info(0).free_bytes == free_before);
  CHECK_STATUS(VRAM_OVERFLOW, vram_alloc(driver, 0, UINT64_MAX, alloc_flags(), &allocation));
  CHECK(allocation == 0);
  CHECK_STATUS(VRAM_OK, vram_close(driver));
}

TEST("a device can be filled completely, and freed memory can be allocated again") {
  const Simulator simulator;
  const Session session;
  const uint32_t device = session.device_count() - 1;
  const vram_device_info before = session.info(device);
  std::vector<uint64_t> allocations;
  for (uint64_t taken = 0; taken < before.free_bytes; taken += before.granularity_bytes) {
    allocations.push_back(session.alloc(device, 1));
  }
  CHECK(session.info(device).free_bytes == 0);
  uint64_t one_more = 0;
  CHECK_STATUS(VRAM_OUT_OF_MEMORY, vram_alloc(session.driver(), device, 1, alloc_flags(), &one_more));
  CHECK_STATUS(VRAM_OK, vram_free(allocations.back()));
  allocations.back() = session.alloc(device, 1);
  std::sort(allocations.begin(), allocations.end());
  CHECK(std::adjacent_find(allocations.begin(), allocations.end()) == allocations.end());
  for (const uint64_t allocation : allocations) CHECK_STATUS(VRAM_OK, vram_free(allocation));
  CHECK(session.info(device).free_bytes == before.free_bytes);
}

TEST("an allocation uses and writes only the device that was named") {
  const Session session;
  if (session.device_count() < 2) SKIP("needs two devices");
  const uint64_t free_0 = session.info(0).free_bytes, free_1 = session.info(1).free_bytes;
  const uint64_t a = session.alloc(0, kMiB);
  CHECK(session.info(1).free_bytes == free_1);
  const uint64_t b = session.alloc(1, kMiB);
  CHECK(session.info(0).free_bytes < free_0 && session.info(1).free_bytes < free_1);

  const std::vector<uint8_t> ones(kMiB, 0x11), twos(kMiB, 0x22);
  REQUIRE_OK(vram_write(a, 0, ones.data(), kMiB));
  REQUIRE_OK(vram_write(b, 0, twos.data(), kMiB));
  CHECK(session.read(a, 0, kMiB) == ones);
  CHECK(session.read(b, 0, kMiB) == twos);
}

TEST("a freed handle is stale, and freeing it again succeeds") {
  const Session session;
  const uint64_t allocation = session.alloc(0, kMiB);
  CHECK_STATUS(VRAM_OK, vram_free(allocation));
  CHECK_STATUS(VRAM_OK, vram_free(allocation));
  uint8_t byte = 0;
  CHECK_STATUS(VRAM_STALE_HANDLE, vram_read(allocation, 0, &byte, 1));
  CHECK(session.alloc(0, kMiB) != allocation);
}

TEST("memory of any length is wiped before it is freed, sealed or not") {
  const Session session;
  const uint64_t lengths[] = {1, 4095, 4096, 4097, 2 * kMiB, 2 * kMiB + 1, 3 * kMiB};
  for (const uint64_t bytes : lengths) {
    const bool sealed = bytes % 2 != 0;
    const uint64_t secret = session.alloc(0, bytes);
    const std::vector<uint8_t> data(bytes, 0xa5);
    REQUIRE_OK(vram_write(secret, 0, data.data(), data.size()));
    if (sealed) REQUIRE_OK(vram_seal(secret));
    REQUIRE_OK(vram_free(secret));
    const uint64_t next = session.alloc(0, 4 * kMiB);
    CHECK(session.read(next, 0, 4 * kMiB) == std::vector<uint8_t>(4 * kMiB, 0));
    REQUIRE_OK(vram_free(next));
  }
}

}  // namespace test
