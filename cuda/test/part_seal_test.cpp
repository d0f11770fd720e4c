/** Shards that are sealed and digested part by part during the load. */
#include <algorithm>
#include <cstring>
#include <thread>
#include <vector>

#include "content.h"
#include "harness.h"
#include "session.h"
#include "simulator.h"

namespace test {
namespace {

constexpr uint64_t kParts = 3;
constexpr uint64_t kBytes = (kParts - 1) * kPartBytes + 4097;
constexpr uint64_t kGroupsPerPart = kPartBytes / VRAM_GROUP_BYTES;

uint64_t seal_filled(uint64_t load) {
  uint64_t sealed_bytes = UINT64_MAX;
  REQUIRE_OK(vram_load_seal(load, &sealed_bytes));
  return sealed_bytes;
}

/** Pushes data[offset, offset + bytes). */
void push(const Session &session, uint64_t load, const std::vector<uint8_t> &data, uint64_t offset, uint64_t bytes) {
  const auto begin = data.begin() + static_cast<std::ptrdiff_t>(offset);
  session.push_all(load, {begin, begin + static_cast<std::ptrdiff_t>(bytes)}, VRAM_STAGING_SLOT_BYTES, 0);
}

uint32_t violations(uint64_t allocation) {
  vram_residency residency = {};
  REQUIRE_OK(vram_attest(allocation, &residency));
  return residency.violations;
}

}  // namespace

TEST("a load seals only parts that are full, and never the last one") {
  const Session session;
  const std::vector<uint8_t> data = content(kBytes);
  const uint64_t allocation = session.alloc(0, kBytes);
  const uint64_t load = session.open_load(allocation);
  CHECK(seal_filled(load) == 0);
  push(session, load, data, 0, kPartBytes - 1);
  CHECK(seal_filled(load) == 0);
  push(session, load, data, kPartBytes - 1, 1);
  CHECK(seal_filled(load) == kPartBytes);
  CHECK(seal_filled(load) == kPartBytes);
  push(session, load, data, kPartBytes, kBytes - kPartBytes);
  CHECK(seal_filled(load) == (kParts - 1) * kPartBytes);
  vram_allocation_info info = {};
  REQUIRE_OK(vram_allocation_get_info(allocation, &info));
  CHECK(info.sealed == 0);
  CHECK(violations(allocation) == 0);

  vram_load_result result = {};
  REQUIRE_OK(vram_load_finish(load, &result));
  REQUIRE_OK(vram_load_close(load));
  REQUIRE_OK(vram_seal(allocation));
  CHECK(violations(allocation) == 0);
  CHECK(device_tree_digest(allocation) == hex(result.tree, sizeof(result.tree)));
}

TEST("the last part stays unsealed: exact multiples, a single part, a load on the host") {
  const Session session;
  for (const uint64_t bytes : {2 * kPartBytes, kPartBytes, uint64_t{1}}) {
    const std::vector<uint8_t> data = content(bytes);
    const uint64_t allocation = session.alloc(0, bytes);
    const uint64_t load = session.open_load(allocation);
    push(session, load, data, 0, bytes);
    CHECK(seal_filled(load) == (bytes - 1) / kPartBytes * kPartBytes);
    REQUIRE_OK(vram_load_close(load));
    REQUIRE_OK(vram_seal(allocation));
    REQUIRE_OK(vram_free(allocation));
  }
  uint64_t load = 0;
  REQUIRE_OK(vram_load_open_host(session.driver(), 3 * kPartBytes, VRAM_LOAD_TREE, &load));
  push(session, load, content(2 * kPartBytes), 0, 2 * kPartBytes);
  CHECK(seal_filled(load) == 0);
  REQUIRE_OK(vram_load_close(load));
}

TEST("sealed parts can be digested during the load, with the hashes of the whole shard") {
  const Session session;
  const std::vector<uint8_t> data = content(kBytes);
  const uint64_t allocation = session.alloc(0, kBytes);
  const uint64_t load = session.open_load(allocation);
  push(session, load, data, 0, kPartBytes);
  REQUIRE(seal_filled(load) == kPartBytes);
  std::vector<uint8_t> early(kGroupsPerPart * VRAM_DIGEST_BYTES);
  std::thread digest(
      [&] { CHECK_STATUS(VRAM_OK, vram_digest(allocation, 0, kPartBytes, early.data(), early.size())); });
  push(session, load, data, kPartBytes, kBytes - kPartBytes);
  digest.join();
  REQUIRE_OK(vram_load_close(load));
  REQUIRE_OK(vram_seal(allocation));
  std::vector<uint8_t> whole(((kParts - 1) * kGroupsPerPart + 1) * VRAM_DIGEST_BYTES);
  REQUIRE_OK(vram_digest(allocation, 0, kBytes, whole.data(), whole.size()));
  CHECK(std::equal(early.begin(), early.end(), whole.begin()));
}

TEST("sealed parts cannot be written or read; later parts can") {
  const Session session;
  const uint64_t allocation = session.alloc(0, kBytes);
  const uint64_t load = session.open_load(allocation);
  push(session, load, content(kPartBytes), 0, kPartBytes);
  REQUIRE(seal_filled(load) == kPartBytes);
  uint8_t bytes[2] = {};
  for (const uint64_t offset : {uint64_t{0}, kPartBytes - 1}) {
    CHECK_STATUS(VRAM_SEALED, vram_write(allocation, offset, bytes, sizeof(bytes)));
    CHECK_STATUS(VRAM_SEALED, vram_read(allocation, offset, bytes, sizeof(bytes)));
  }
  CHECK_STATUS(VRAM_OK, vram_write(allocation, kPartBytes, bytes, sizeof(bytes)));
  CHECK_STATUS(VRAM_OK, vram_read(allocation, kPartBytes, bytes, sizeof(bytes)));
  CHECK_STATUS(VRAM_BUSY, vram_seal(allocation));
  REQUIRE_OK(vram_load_close(load));
}

TEST("a partly sealed shard is wiped completely when it is freed") {
  const Session session;
  const uint64_t allocation = session.alloc(0, kBytes);
  const uint64_t load = session.open_load(allocation);
  push(session, load, content(kPartBytes + kMiB), 0, kPartBytes + kMiB);
  REQUIRE(seal_filled(load) == kPartBytes);
  REQUIRE_OK(vram_load_close(load));
  REQUIRE_OK(vram_free(allocation));
  const uint64_t next = session.alloc(0, kBytes);
  CHECK(session.read(next, 0, kBytes) == std::vector<uint8_t>(kBytes, 0));
}

TEST("vram_attest asks about the first and the last byte of each part") {
  const Simulator simulator;
  const Session session;
  const uint64_t allocation = session.alloc(0, kBytes);
  REQUIRE_OK(vram_seal(allocation));
  simulator.reset();
  REQUIRE(violations(allocation) == 0);
  CHECK(simulator.calls("cuMemRetainAllocationHandle") == 2 * kParts);
  CHECK(simulator.calls("cuMemGetAccess") == 2 * kParts * session.device_count());
}

TEST("a shard has at most 64 parts") {
  const Simulator simulator;
  const Session session;
  for (const uint64_t parts : {uint64_t{63}, uint64_t{64}, uint64_t{65}, uint64_t{127}}) {
    simulator.reset();
    const uint64_t allocation = session.alloc(0, parts * kPartBytes);
    const uint64_t taken = simulator.calls("cuMemCreate");
    CHECK(taken <= 64 && taken >= std::min(parts, uint64_t{32}));
    CHECK(simulator.calls("cuMemMap") == taken);
    REQUIRE_OK(vram_free(allocation));
  }
}

TEST("if memory runs out between two parts, all of it is freed") {
  const Simulator simulator;
  const Session session;
  const uint64_t before = session.info(0).free_bytes;
  for (const char *fault : {"cuMemCreate:2=2", "cuMemCreate:3=2", "cuMemMap:2=2", "cuMemMap:3=2"}) {
    simulator.reset();
    simulator.set("FAULTS", fault);
    uint64_t allocation = 0;
    const vram_status status = vram_alloc(session.driver(), 0, kBytes, alloc_flags(), &allocation);
    CHECK(status == VRAM_OUT_OF_MEMORY || status == VRAM_DRIVER_ERROR_BASE + CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(allocation == 0);
    CHECK(session.info(0).free_bytes == before);
  }
}

}  // namespace test
