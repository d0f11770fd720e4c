#include <atomic>
#include <cstring>
#include <ctime>
#include <functional>
#include <initializer_list>
#include <thread>
#include <vector>

#include "content.h"
#include "descriptors.h"
#include "harness.h"
#include "session.h"
#include "simulator.h"

namespace test {
namespace {

constexpr uint32_t kThreads = 6;

void in_threads(const std::function<void(uint32_t)> &work) {
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&work, i] {
      try {
        work(i);
      } catch (const Ended &) {  // the failure is recorded already
      }
    });
  }
  for (std::thread &thread : threads) thread.join();
}

double thread_cpu_seconds() {
  timespec time = {};
  REQUIRE(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

bool is_one_of(vram_status status, std::initializer_list<vram_status> allowed) {
  for (const vram_status each : allowed) {
    if (status == each) return true;
  }
  return check_status(__FILE__, __LINE__, VRAM_OK, status, "a call alongside others");
}

}  // namespace

TEST("vram_oldest_driver_call reports a hanging call until it returns") {
  const Session session;
  const Simulator simulator;
  CHECK(vram_oldest_driver_call() == 0);
  simulator.set("FAULTS", "cuMemGetInfo_v2:1=hang");
  vram_status status = VRAM_OK;
  std::thread hanging([&] {
    vram_device_info info = {};
    status = vram_device_get_info(session.driver(), 0, &info);
  });
  while (simulator.calls("cuMemGetInfo_v2") == 0) std::this_thread::yield();
  const uint64_t began = vram_oldest_driver_call();
  CHECK(began != 0);
  (void)session.info(0);
  CHECK(vram_oldest_driver_call() == began);
  simulator.set("FAULTS", "");
  hanging.join();
  CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + 999, status);
  CHECK(vram_oldest_driver_call() == 0);
}

TEST("a load opens, and a writer seeks, without a wait for a driver that is being closed") {
  const Session session;
  const Simulator simulator;
  const uint64_t load = session.open_load(session.alloc(0, kMiB), VRAM_LOAD_TREE);
  const uint64_t allocation = session.alloc(0, kMiB);
  simulator.set("FAULTS", "cuMemGetInfo_v2:1=hang");
  std::thread hanging([&] {
    vram_device_info info = {};
    (void)vram_device_get_info(session.driver(), 0, &info);
  });
  while (simulator.calls("cuMemGetInfo_v2") == 0) std::this_thread::yield();
  vram_status closed = VRAM_INTERNAL;
  std::thread closing([&] { closed = vram_close(session.driver()); });
  vram_status sought = VRAM_OK;
  while ((sought = vram_load_seek(load, 0)) == VRAM_OK) std::this_thread::yield();
  CHECK_STATUS(VRAM_BUSY, sought);
  uint64_t refused = 0;
  CHECK_STATUS(VRAM_BUSY, vram_load_open(allocation, 0, &refused));
  simulator.set("FAULTS", "");
  hanging.join();
  closing.join();
  CHECK_STATUS(VRAM_OK, closed);
  CHECK_STATUS(VRAM_STALE_HANDLE, vram_load_open(allocation, 0, &refused));
}

TEST("a load opens without a wait for another call that uses the memory") {
  const Session session;
  const Simulator simulator;
  const uint64_t allocation = session.alloc(0, kMiB);
  simulator.set("FAULTS", "cuMemGetAccess:1=hang");
  std::thread attesting([&] {
    vram_residency residency = {};
    (void)vram_attest(allocation, &residency);
  });
  while (simulator.calls("cuMemGetAccess") == 0) std::this_thread::yield();
  uint64_t load = 0;
  CHECK_STATUS(VRAM_BUSY, vram_load_open(allocation, 0, &load));
  simulator.set("FAULTS", "");
  attesting.join();
  CHECK_STATUS(VRAM_OK, vram_load_open(allocation, 0, &load));
}

TEST("a thread that waits for the device sleeps") {
  const Session session;
  const Simulator simulator;
  vram_load_result result = {};
  const std::vector<uint8_t> data = content(kMiB);
  const uint64_t allocation = session.load(0, data, &result);
  const uint64_t other = session.alloc(0, data.size());
  const uint64_t load = session.open_load(other, 0);
  simulator.set("LATENCY_US", "300000");
  const double cpu_before = thread_cpu_seconds();
  (void)device_tree_digest(allocation);
  REQUIRE_OK(vram_load_push(load, 0, data.size()));
  REQUIRE_OK(vram_free(allocation));
  // The three calls take more than a second, and a thread that does not sleep uses a core for as long as it has one.
  CHECK(thread_cpu_seconds() - cpu_before < 0.1);
  simulator.set("LATENCY_US", "0");
  REQUIRE_OK(vram_load_close(load));
}

TEST("many threads load, seal, verify and free shards at once") {
  const Session session;
  const uint32_t devices = session.device_count();
  const auto round = [&](uint32_t i) {
    std::vector<uint8_t> data = content(kMiB + 100 * i + 1);
    data[0] = static_cast<uint8_t>(i);
    for (int repeat = 0; repeat < 5; ++repeat) {
      const uint64_t allocation = session.alloc(i % devices, data.size());
      const uint64_t load = session.open_load(allocation);
      session.push_all(load, data, VRAM_STAGING_SLOT_BYTES, i);
      vram_load_result result = {};
      REQUIRE_OK(vram_load_finish(load, &result));
      REQUIRE_OK(vram_load_close(load));
      REQUIRE_OK(vram_seal(allocation));
      vram_residency residency = {};
      REQUIRE_OK(vram_attest(allocation, &residency));
      CHECK(device_tree_digest(allocation) == hex(result.tree, sizeof(result.tree)));
      REQUIRE_OK(vram_free(allocation));
    }
  };
  in_threads(round);  // a driver takes memory of its own for the first calls of many threads
  const uint64_t free_before = session.info(0).free_bytes;
  in_threads(round);
  CHECK(session.info(0).free_bytes == free_before);
}

TEST("a handle that is freed while other threads use it returns a status") {
  const Session session;
  for (int round = 0; round < 10; ++round) {
    const uint64_t allocation = session.alloc(0, VRAM_GROUP_BYTES + 20000);
    in_threads([&](uint32_t i) {
      uint8_t hashes[64] = {};
      vram_residency residency = {};
      vram_allocation_info info = {};
      for (int turn = 0; turn < 20; ++turn) {
        if (i == 0 && turn == 5) is_one_of(vram_seal(allocation), {VRAM_OK, VRAM_STALE_HANDLE});
        if (i == 1 && turn == 10) is_one_of(vram_free(allocation), {VRAM_OK});
        // Hash bytes that no thread writes: the hash of bytes being written is undefined.
        is_one_of(vram_digest(allocation, VRAM_GROUP_BYTES, 20000, hashes, 64), {VRAM_OK, VRAM_STALE_HANDLE});
        is_one_of(vram_write(allocation, i, hashes, 1), {VRAM_OK, VRAM_SEALED, VRAM_STALE_HANDLE});
        is_one_of(vram_attest(allocation, &residency), {VRAM_OK, VRAM_STALE_HANDLE});
        is_one_of(vram_allocation_get_info(allocation, &info), {VRAM_OK, VRAM_STALE_HANDLE});
      }
    });
  }
}

TEST("a shard is handed over, adopted, digested and left by many threads while its owner frees it") {
  const Simulator simulator;
  const Session session;
  const uint64_t free_before = session.info(0).free_bytes;
  const size_t descriptors_before = open_descriptors();
  for (int round = 0; round < 5; ++round) {
    const uint64_t allocation = session.seal_exportable(0, content(kPartBytes + 5));
    in_threads([&](uint32_t i) {
      const SocketPair sockets;
      for (int turn = 0; turn < 10; ++turn) {
        if (i == 0 && turn == 5) is_one_of(vram_free(allocation), {VRAM_OK});
        uint64_t sent = 0, adopted = 0;
        const vram_status handed = vram_hand_over(allocation, sockets.ours.get(), "x", 1, &sent);
        if (!is_one_of(handed, {VRAM_OK, VRAM_STALE_HANDLE}) || handed != VRAM_OK) continue;
        const Received received = receive(sockets.peers);
        REQUIRE_OK(vram_adopt(session.driver(), 0, kPartBytes + 5, kPartBytes, received.numbers().data(), 2, &adopted));
        (void)device_tree_digest(adopted);
        REQUIRE_OK(vram_leave(adopted));
      }
    });
  }
  CHECK(session.info(0).free_bytes == free_before);
  CHECK(open_descriptors() == descriptors_before);
}

TEST("a driver can be closed while other threads use it") {
  const Simulator simulator;
  const uint64_t live_before = simulator.live("*");
  for (int round = 0; round < 5; ++round) {
    const uint64_t driver = open_all_devices(default_options());
    in_threads([&](uint32_t i) {
      for (int turn = 0; turn < 10; ++turn) {
        if (i == 0 && turn == 5) REQUIRE_OK(vram_close(driver));
        uint64_t allocation = 0, load = 0;
        vram_device_info info = {};
        is_one_of(vram_alloc(driver, 0, 1000, alloc_flags(), &allocation), {VRAM_OK, VRAM_STALE_HANDLE});
        is_one_of(vram_device_get_info(driver, 0, &info), {VRAM_OK, VRAM_STALE_HANDLE});
        if (allocation == 0) continue;
        is_one_of(vram_load_open(allocation, 0, &load), {VRAM_OK, VRAM_STALE_HANDLE, VRAM_BUSY});
        if (load != 0) is_one_of(vram_load_push(load, i, 1000), {VRAM_OK, VRAM_STALE_HANDLE});
        if (load != 0) is_one_of(vram_load_close(load), {VRAM_OK});
        is_one_of(vram_free(allocation), {VRAM_OK});
      }
    });
    CHECK_STATUS(VRAM_OK, vram_close(driver));
  }
  CHECK(simulator.live("*") == live_before);
}

TEST("overlapping calls of one load return VRAM_BUSY, and the load stays usable") {
  const Session session;
  const std::vector<uint8_t> data = content(kMiB);
  const uint64_t load = session.open_load(session.alloc(0, kThreads * kMiB));
  for (uint32_t i = 0; i < kThreads; ++i) std::memcpy(session.slot(i), data.data(), kMiB);
  std::atomic<uint32_t> accepted{0};
  in_threads([&](uint32_t i) {
    const vram_status status = vram_load_push(load, i, kMiB);
    if (is_one_of(status, {VRAM_OK, VRAM_BUSY}) && status == VRAM_OK) ++accepted;
  });
  REQUIRE(accepted > 0);
  while (accepted < kThreads) {
    REQUIRE_OK(vram_load_push(load, 0, kMiB));
    ++accepted;
  }
  vram_load_result result = {};
  CHECK_STATUS(VRAM_OK, vram_load_finish(load, &result));
}

}  // namespace test
