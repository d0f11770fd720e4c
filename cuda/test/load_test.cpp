#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <vector>

#include "content.h"
#include "harness.h"
#include "model_directory.h"
#include "session.h"
#include "simulator.h"

namespace test {
namespace {

vram_status load_file(uint64_t load, const ModelFile &file, uint64_t offset, uint64_t bytes) {
  return load_whole(load, file.file(), offset, bytes);
}

}  // namespace

TEST("memory can be freed if the stream of its load could be neither created nor destroyed") {
  const Session session;
  const Simulator simulator;
  const uint64_t allocation = session.alloc(0, kMiB);
  const uint64_t load = session.open_load(allocation);
  simulator.set("FAULTS", "cuEventCreate:1=999,cuStreamDestroy_v2:1=999");
  CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + 999, vram_load_push(load, 0, 1));
  CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + 999, vram_load_close(load));
  CHECK_STATUS(VRAM_OK, vram_free(allocation));
  CHECK_STATUS(VRAM_OK, vram_load_close(load));
}

TEST("a load without bytes needs no stream, and a later load uses the stream of an earlier one") {
  const Session session;
  const Simulator simulator;
  const std::vector<uint8_t> data = content(9000);
  vram_load_result result = {};
  (void)session.load(0, data, &result);
  simulator.set("FAULTS", "cuStreamCreate:1+=999,cuStreamDestroy_v2:1+=999");
  const uint64_t unused = session.open_load(session.alloc(0, kMiB));
  CHECK_STATUS(VRAM_OK, vram_load_close(unused));
  CHECK(session.read(session.load(0, data, &result), 0, data.size()) == data);
  simulator.set("FAULTS", "");
}

TEST("a stream whose copy failed is not used again") {
  const Session session;
  const Simulator simulator;
  const std::vector<uint8_t> data = content(9000);
  const uint64_t load = session.open_load(session.alloc(0, data.size()));
  simulator.set("FAULTS", "cuEventSynchronize:1=999,cuStreamSynchronize:1+=999");
  CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + 999, vram_load_push(load, 0, 1));
  CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + 999, vram_load_close(load));
  simulator.set("FAULTS", "cuStreamDestroy_v2:1=998");
  CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + 998, vram_load_close(load));
  simulator.set("FAULTS", "");
  CHECK_STATUS(VRAM_OK, vram_load_close(load));
  vram_load_result result = {};
  CHECK(session.read(session.load(0, data, &result), 0, data.size()) == data);
}

TEST("vram_load_complete loads the last bytes, returns the digests and closes the load") {
  const Session session;
  const std::vector<uint8_t> data = content(kMiB + 777);
  vram_load_result expected = {}, result = {};
  (void)session.load(0, data, &expected);
  for (const uint64_t last : {uint64_t{0}, uint64_t{777}}) {
    const uint64_t allocation = session.alloc(0, data.size()), load = session.open_load(allocation);
    CHECK_STATUS(VRAM_LOAD_INCOMPLETE, vram_load_complete(load, 0, 0, &result));
    const std::vector<uint8_t> first(data.begin(), data.end() - static_cast<ptrdiff_t>(last));
    session.push_all(load, first, kMiB, 0);
    std::copy(data.end() - static_cast<ptrdiff_t>(last), data.end(), session.slot(1));
    CHECK_STATUS(VRAM_LOAD_OVERRUN, vram_load_complete(load, 1, last + 1, &result));
    REQUIRE_OK(vram_load_complete(load, 1, last, &result));
    CHECK(std::memcmp(&result, &expected, sizeof(result)) == 0);
    CHECK_STATUS(VRAM_STALE_HANDLE, vram_load_complete(load, 1, last, &result));
    CHECK(session.read(allocation, 0, data.size()) == data);
  }
}

TEST("vram_load_prove completes the load, then proves the memory, and seals nothing if the load is not complete") {
  const Session session;
  const Simulator simulator;
  const std::vector<uint8_t> data = content(300000);
  vram_load_result expected = {}, result = {};
  uint8_t hash[VRAM_DIGEST_BYTES] = {}, expected_hash[VRAM_DIGEST_BYTES] = {};
  const uint64_t other = session.load(0, data, &expected);
  REQUIRE_OK(vram_seal(other));
  REQUIRE_OK(vram_digest(other, 0, data.size(), expected_hash, sizeof(expected_hash)));

  const uint64_t allocation = session.alloc(0, data.size()), load = session.open_load(allocation);
  std::copy(data.begin(), data.end(), session.slot(1));
  vram_residency residency = {};
  CHECK_STATUS(VRAM_LOAD_INCOMPLETE, vram_load_prove(load, 1, 4096, &result, &residency, hash, sizeof(hash)));
  REQUIRE_OK(vram_attest(allocation, &residency));
  CHECK(residency.sealed == 0);
  std::copy(data.begin() + 4096, data.end(), session.slot(1));
  simulator.set("FAULTS", "cuMemSetAccess:1=999");
  const uint64_t rest = data.size() - 4096;
  CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + 999,
               vram_load_prove(load, 1, rest, &result, &residency, hash, sizeof(hash)));
  simulator.set("FAULTS", "");
  CHECK(std::memcmp(&result, &expected, sizeof(result)) == 0);
  CHECK_STATUS(VRAM_STALE_HANDLE, vram_load_prove(load, 1, rest, &result, &residency, hash, sizeof(hash)));
  REQUIRE_OK(vram_load_close(load));

  const uint64_t second = session.alloc(0, data.size()), again = session.open_load(second);
  std::copy(data.begin(), data.end(), session.slot(1));
  REQUIRE_OK(vram_load_prove(again, 1, data.size(), &result, &residency, hash, sizeof(hash)));
  CHECK(residency.sealed == 1 && residency.violations == 0);
  CHECK(std::memcmp(&result, &expected, sizeof(result)) == 0);
  CHECK(std::memcmp(hash, expected_hash, sizeof(hash)) == 0);
  CHECK_STATUS(VRAM_STALE_HANDLE, vram_load_prove(again, 1, 1, &result, &residency, hash, sizeof(hash)));
}

TEST("pieces of any size give the same digests and the same bytes") {
  const Session session;
  const std::vector<uint8_t> data = content(2 * kMiB + 777);
  vram_load_result expected = {};
  const uint64_t first = session.load(0, data, &expected);
  CHECK(session.read(first, 0, data.size()) == data);
  for (const uint64_t piece : {uint64_t{1000}, uint64_t{4095}, uint64_t{4096}, uint64_t{4097}, uint64_t{524289}}) {
    const uint64_t allocation = session.alloc(0, data.size());
    const uint64_t load = session.open_load(allocation);
    session.push_all(load, data, piece, 3);
    vram_load_result result = {};
    REQUIRE_OK(vram_load_finish(load, &result));
    CHECK(std::memcmp(&result, &expected, sizeof(result)) == 0);
    REQUIRE_OK(vram_load_close(load));
    CHECK(session.read(allocation, 0, data.size()) == data);
    REQUIRE_OK(vram_free(allocation));
  }
}

TEST("several slots in one push give the same digests and the same bytes, in the order of the slots") {
  const Session session;
  const std::vector<uint8_t> data = content(2 * kMiB + 777);
  vram_load_result expected = {};
  REQUIRE_OK(vram_free(session.load(0, data, &expected)));
  const uint64_t allocation = session.alloc(0, data.size());
  const uint64_t load = session.open_load(allocation);
  const uint32_t slots[] = {3, 0, 2};
  std::memcpy(session.slot(3), data.data(), kMiB);
  std::memcpy(session.slot(0), data.data() + kMiB, kMiB);
  std::memcpy(session.slot(2), data.data() + 2 * kMiB, 777);
  REQUIRE_OK(vram_load_push_slots(load, slots, 3, data.size()));
  vram_load_result result = {};
  REQUIRE_OK(vram_load_finish(load, &result));
  CHECK(std::memcmp(&result, &expected, sizeof(result)) == 0);
  REQUIRE_OK(vram_load_close(load));
  CHECK(session.read(allocation, 0, data.size()) == data);
}

TEST("a load computes the digests in its flags, and finishing twice returns the same") {
  const Session session;
  const std::vector<uint8_t> data = content(9000);
  const uint8_t zeros[VRAM_DIGEST_BYTES] = {};
  for (const uint32_t flags : {0, int{VRAM_LOAD_FLAT}, int{VRAM_LOAD_TREE}}) {
    const uint64_t load = session.open_load(session.alloc(0, data.size()), flags);
    session.push_all(load, data, 4096, 0);
    vram_load_result result = {}, again = {};
    REQUIRE_OK(vram_load_finish(load, &result));
    REQUIRE_OK(vram_load_finish(load, &again));
    CHECK(std::memcmp(&result, &again, sizeof(result)) == 0);
    CHECK((std::memcmp(result.flat, zeros, sizeof(zeros)) != 0) == ((flags & VRAM_LOAD_FLAT) != 0));
    CHECK((std::memcmp(result.tree, zeros, sizeof(zeros)) != 0) == ((flags & VRAM_LOAD_TREE) != 0));
  }
}

TEST("a load on the host makes no driver call") {
  const Simulator simulator;
  const Session session;
  const std::vector<uint8_t> data = content(kMiB + 1);
  vram_load_result expected = {}, result = {};
  (void)session.load(0, data, &expected);
  simulator.reset();
  uint64_t load = 0;
  REQUIRE_OK(vram_load_open_host(session.driver(), data.size(), VRAM_LOAD_FLAT | VRAM_LOAD_TREE, &load));
  session.push_all(load, data, 300000, 0);
  REQUIRE_OK(vram_load_finish(load, &result));
  REQUIRE_OK(vram_load_close(load));
  CHECK(simulator.calls("*") == 0);
  CHECK(std::memcmp(&result, &expected, sizeof(result)) == 0);
}

TEST("a file can be loaded from any offset, between pushes") {
  const Session session;
  const std::vector<uint8_t> data = content(5 * kMiB + 333);
  std::vector<uint8_t> stored(100 + data.size(), 0xee);
  std::copy(data.begin(), data.end(), stored.begin() + 100);
  const ModelFile file(stored);
  vram_load_result expected = {};
  (void)session.load(0, data, &expected);
  const uint64_t allocation = session.alloc(0, data.size());
  const uint64_t load = session.open_load(allocation);
  session.push_all(load, {data.begin(), data.begin() + 10}, 10, 0);
  REQUIRE_OK(load_file(load, file, 110, data.size() - 15));
  session.push_all(load, {data.end() - 5, data.end()}, 5, 0);
  vram_load_result result = {};
  REQUIRE_OK(vram_load_finish(load, &result));
  CHECK(std::memcmp(&result, &expected, sizeof(result)) == 0);
  REQUIRE_OK(vram_load_close(load));
  CHECK(session.read(allocation, 0, data.size()) == data);
}

TEST("a file that is too short or unreadable fails the load permanently") {
  const Session session;
  const ModelFile file(content(2 * kMiB));
  const uint64_t bytes = 3 * kMiB;
  uint64_t load = session.open_load(session.alloc(0, bytes));
  CHECK_STATUS(VRAM_FILE_TOO_SHORT, load_file(load, file, 0, bytes));
  CHECK_STATUS(VRAM_FILE_TOO_SHORT, vram_load_push(load, 0, 1));
  CHECK_STATUS(VRAM_OK, vram_load_close(load));

  load = session.open_load(session.alloc(0, bytes));
  CHECK_STATUS(VRAM_FILE_TOO_SHORT, load_file(load, file, 0, bytes));
  CHECK_STATUS(VRAM_OK, vram_load_close(load));

  load = session.open_load(session.alloc(0, bytes));
  const ModelFile other(content(2 * kMiB));
  CHECK_STATUS(VRAM_FILE_ERROR, load_file(load, other, UINT64_MAX - bytes, bytes));
  CHECK(other.file().info().error == EINVAL);
}

TEST("a load whose copy could not be marked returns the slot after the copy") {
  const Session session;
  const Simulator simulator;
  const std::vector<uint8_t> data = content(1000);
  const uint64_t allocation = session.alloc(0, data.size()), load = session.open_load(allocation);
  simulator.set("FAULTS", "cuEventRecord:1=999");
  simulator.set("LATENCY_US", "20000");
  std::copy(data.begin(), data.end(), session.slot(0));
  CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + 999, vram_load_push(load, 0, data.size()));
  std::fill_n(session.slot(0), data.size(), uint8_t{0x77});
  CHECK_STATUS(VRAM_OK, vram_load_close(load));
  CHECK(session.read(allocation, 0, data.size()) == data);
}

TEST("any thread can close a load, also one that has never called the driver") {
  const Session session;
  const uint64_t load = session.open_load(session.alloc(0, 100));
  std::thread([&] { CHECK_STATUS(VRAM_OK, vram_load_close(load)); }).join();
}

TEST("a load finishes only with all its bytes, and accepts no more") {
  const Session session;
  const uint64_t load = session.open_load(session.alloc(0, 100));
  vram_load_result result = {};
  CHECK_STATUS(VRAM_LOAD_INCOMPLETE, vram_load_finish(load, &result));
  session.push_all(load, content(99), 99, 0);
  CHECK_STATUS(VRAM_LOAD_INCOMPLETE, vram_load_finish(load, &result));
  CHECK_STATUS(VRAM_LOAD_OVERRUN, vram_load_push(load, 0, 2));
  session.push_all(load, {0}, 1, 0);
  CHECK_STATUS(VRAM_OK, vram_load_finish(load, &result));
  CHECK_STATUS(VRAM_LOAD_OVERRUN, vram_load_push(load, 0, 1));
}

TEST("a load keeps its allocation busy until it is closed") {
  const Session session;
  const uint64_t allocation = session.alloc(0, 100);
  const uint64_t load = session.open_load(allocation);
  uint64_t second = 0;
  CHECK_STATUS(VRAM_BUSY, vram_load_open(allocation, 0, &second));
  CHECK_STATUS(VRAM_BUSY, vram_seal(allocation));
  CHECK_STATUS(VRAM_BUSY, vram_free(allocation));
  CHECK_STATUS(VRAM_OK, vram_load_close(load));
  CHECK_STATUS(VRAM_OK, vram_load_close(load));
  CHECK_STATUS(VRAM_OK, vram_load_close(session.open_load(allocation)));
  CHECK_STATUS(VRAM_OK, vram_seal(allocation));
  CHECK_STATUS(VRAM_OK, vram_free(allocation));
}

}  // namespace test
