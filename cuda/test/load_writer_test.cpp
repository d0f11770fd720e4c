/** Loads whose bytes arrive in any order, by several writers. */
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "content.h"
#include "harness.h"
#include "model_directory.h"
#include "session.h"
#include "simulator.h"

namespace test {
namespace {

constexpr uint64_t kGroup = VRAM_GROUP_BYTES;

uint64_t open_writer(uint64_t load) {
  uint64_t writer = 0;
  REQUIRE_OK(vram_load_open_writer(load, &writer));
  return writer;
}

std::vector<uint64_t> open_writers(uint64_t load, size_t count) {
  std::vector<uint64_t> writers(count);
  for (uint64_t &writer : writers) writer = open_writer(load);
  return writers;
}

/** The bytes of one shard, and the digests of a load that receives them in order. */
struct Shard {
  const Session &session;
  const std::vector<uint8_t> data;
  vram_load_result in_order = {};

  Shard(const Session &owner, uint64_t bytes) : session(owner), data(content(bytes)) {
    const uint64_t load = open(VRAM_LOAD_TREE);
    session.push_all(load, data, VRAM_STAGING_SLOT_BYTES, 0);
    REQUIRE_OK(vram_load_finish(load, &in_order));
    REQUIRE_OK(vram_load_close(load));
  }

  /** A load on the host. */
  uint64_t open(uint32_t flags) const {
    uint64_t load = 0;
    REQUIRE_OK(vram_load_open_host(session.driver(), data.size(), flags, &load));
    return load;
  }
  /** Pushes data[from, until), which begins a group, with one writer. */
  void push(uint64_t writer, uint64_t from, uint64_t until, uint64_t piece_bytes, uint32_t slot) const {
    REQUIRE_OK(vram_load_seek(writer, from));
    push_on(writer, from, until, piece_bytes, slot);
  }
  void push_on(uint64_t writer, uint64_t from, uint64_t until, uint64_t piece_bytes, uint32_t slot) const {
    session.push_all(writer, {at(from), at(std::min<uint64_t>(until, data.size()))}, piece_bytes, slot);
  }
  void check_finished(uint64_t load) const {
    vram_load_result result = {};
    REQUIRE_OK(vram_load_finish(load, &result));
    CHECK(std::memcmp(result.tree, in_order.tree, sizeof(result.tree)) == 0);
  }

 private:
  std::vector<uint8_t>::const_iterator at(uint64_t offset) const {
    return data.begin() + static_cast<std::ptrdiff_t>(offset);
  }
};

/** Ranges of whole groups that cover `bytes` bytes, in random order. */
std::vector<std::pair<uint64_t, uint64_t>> random_ranges(uint64_t bytes, std::mt19937_64 &random) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (uint64_t from = 0; from < bytes;) {
    const uint64_t until = std::min(bytes, from + (1 + random() % 3) * kGroup);
    ranges.emplace_back(from, until);
    from = until;
  }
  std::shuffle(ranges.begin(), ranges.end(), random);
  return ranges;
}

void in_threads(uint32_t count, const std::function<void(uint32_t)> &work) {
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < count; ++i) {
    threads.emplace_back([&work, i] {
      try {
        work(i);
      } catch (const Ended &) {  // the failure is recorded already
      }
    });
  }
  for (std::thread &thread : threads) thread.join();
}

}  // namespace

TEST("writers: ranges in any order, in pieces of any size, have the digest of the bytes in order") {
  const Session session;
  std::mt19937_64 random(11);
  for (const uint64_t bytes : {uint64_t{1}, uint64_t{4095}, uint64_t{4096}, uint64_t{4097}, kGroup - 1, kGroup, kGroup + 1,
                               2 * kGroup - 1, 2 * kGroup, 2 * kGroup + 1, 7 * kGroup + 4097}) {
    const Shard shard(session, bytes);
    for (int round = 0; round < 6; ++round) {
      const uint64_t load = shard.open(VRAM_LOAD_TREE);
      std::vector<uint64_t> writers = {load, open_writer(load), open_writer(load)};
      for (const auto &[from, until] : random_ranges(bytes, random)) {
        const uint32_t index = static_cast<uint32_t>(random() % writers.size());
        shard.push(writers[index], from, until, 1 + random() % VRAM_STAGING_SLOT_BYTES, index);
      }
      shard.check_finished(load);
      for (const uint64_t writer : writers) REQUIRE_OK(vram_load_close(writer));
    }
  }
}

TEST("writers: threads that take random ranges from a queue fill the device with the right bytes") {
  const Session session;
  const Shard shard(session, 23 * kGroup + 777);
  std::mt19937_64 random(5);
  for (int round = 0; round < 4; ++round) {
    const uint64_t allocation = session.alloc(0, shard.data.size());
    const uint64_t load = session.open_load(allocation, VRAM_LOAD_TREE);
    const auto ranges = random_ranges(shard.data.size(), random);
    const std::vector<uint64_t> writers = open_writers(load, 4);
    std::atomic<size_t> next{0};
    in_threads(4, [&](uint32_t index) {
      const uint64_t writer = writers[index];
      for (size_t i = next++; i < ranges.size(); i = next++) {
        shard.push(writer, ranges[i].first, ranges[i].second, 300'000, index);
        uint64_t sealed_bytes = 0;
        REQUIRE_OK(vram_load_seal(writer, &sealed_bytes));
      }
      REQUIRE_OK(vram_load_close(writer));
    });
    shard.check_finished(load);
    REQUIRE_OK(vram_load_close(load));
    REQUIRE_OK(vram_seal(allocation));
    vram_residency residency = {};
    CHECK_STATUS(VRAM_OK, vram_attest(allocation, &residency));
    CHECK(device_tree_digest(allocation) == hex(shard.in_order.tree, sizeof(shard.in_order.tree)));
    REQUIRE_OK(vram_free(allocation));
  }
}

TEST("writers: sockets and files are read at the same time") {
  const Session session;
  const Shard shard(session, 16 * kGroup + 1);
  const ModelDirectory directory;
  directory.write("model", shard.data);
  const uint64_t allocation = session.alloc(0, shard.data.size());
  const uint64_t load = session.open_load(allocation, VRAM_LOAD_TREE);
  const std::vector<uint64_t> writers = open_writers(load, 4);
  in_threads(4, [&](uint32_t index) {
    const uint64_t writer = writers[index];
    const std::vector<uint32_t> slots = {2 * index, 2 * index + 1};
    const uint64_t from = index * 4 * kGroup;
    const uint64_t until = index == 3 ? shard.data.size() : from + 4 * kGroup;
    REQUIRE_OK(vram_load_seek(writer, from));
    if (index % 2 == 0) {
      const OpenFile file(directory, "model");
      REQUIRE_OK(load_whole(writer, file, from, until - from));
    } else {
      int ends[2] = {-1, -1};
      REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
      std::thread sender([&] {
        for (uint64_t done = from; done < until;) {
          const ssize_t sent = send(ends[0], shard.data.data() + done, until - done, MSG_NOSIGNAL);
          if (sent <= 0) break;
          done += static_cast<uint64_t>(sent);
        }
        (void)close(ends[0]);
      });
      for (uint64_t done = from, received = 0; done < until; done += received) {
        if (vram_load_socket(writer, ends[1], until - done, 20, slots.data(), 2, &received) != VRAM_OK) break;
      }
      sender.join();
      (void)close(ends[1]);
    }
    REQUIRE_OK(vram_load_close(writer));
  });
  shard.check_finished(load);
  REQUIRE_OK(vram_load_close(load));
  CHECK(session.read(allocation, 0, shard.data.size()) == shard.data);
}

TEST("writers: bytes that another writer has taken are refused before any is written, and the load continues") {
  const Session session;
  const Shard shard(session, 6 * kGroup);
  for (const uint32_t flags : {uint32_t{0}, uint32_t{VRAM_LOAD_TREE}}) {
    const uint64_t load = shard.open(flags), writer = open_writer(load);
    shard.push(load, 2 * kGroup, 4 * kGroup, kGroup, 0);
    shard.push_on(load, 4 * kGroup, 4 * kGroup + 1, 1, 0);
    // Groups 2 and 3 are complete, and group 4 has begun.
    REQUIRE_OK(vram_load_seek(writer, kGroup));
    CHECK_STATUS(VRAM_LOAD_OVERLAP, vram_load_push(writer, 1, kGroup + 1));
    for (const uint64_t offset : {2 * kGroup, 3 * kGroup, 4 * kGroup}) {
      REQUIRE_OK(vram_load_seek(writer, offset));
      CHECK_STATUS(VRAM_LOAD_OVERLAP, vram_load_push(writer, 1, 1));
    }
    shard.push(writer, 0, 2 * kGroup, kGroup, 1);
    CHECK_STATUS(VRAM_LOAD_OVERLAP, vram_load_push(writer, 1, 1));
    shard.push(writer, 5 * kGroup, 6 * kGroup, kGroup - 1, 1);
    CHECK_STATUS(VRAM_LOAD_OVERRUN, vram_load_push(writer, 1, 1));
    CHECK_STATUS(VRAM_LOAD_OVERLAP, vram_load_push(load, 0, kGroup));
    vram_load_result result = {};
    CHECK_STATUS(VRAM_LOAD_INCOMPLETE, vram_load_finish(load, &result));
    shard.push_on(load, 4 * kGroup + 1, 5 * kGroup, kGroup, 0);
    if (flags == VRAM_LOAD_TREE) shard.check_finished(writer);
    CHECK_STATUS(VRAM_OK, vram_load_finish(load, &result));
  }
}

TEST("writers: a load with any one group missing, or one byte of it, is incomplete") {
  const Session session;
  const Shard shard(session, 3 * kGroup + 2);
  for (uint64_t missing = 0; missing < shard.data.size(); missing += kGroup) {
    const uint64_t load = shard.open(VRAM_LOAD_TREE);
    for (uint64_t from = 3 * kGroup + kGroup; from > 0;) {
      from -= kGroup;
      if (from != missing) shard.push(load, from, from + kGroup, kGroup, 0);
    }
    vram_load_result result = {};
    CHECK_STATUS(VRAM_LOAD_INCOMPLETE, vram_load_finish(load, &result));
    const uint64_t until = std::min<uint64_t>(missing + kGroup, shard.data.size());
    shard.push(load, missing, until - 1, kGroup, 0);
    CHECK_STATUS(VRAM_LOAD_INCOMPLETE, vram_load_finish(load, &result));
    shard.push_on(load, until - 1, until, 1, 0);
    shard.check_finished(load);
  }
}

TEST("writers: a position is a group boundary inside the load, and no group is left half written") {
  const Session session;
  const Shard shard(session, 2 * kGroup + 5);
  const uint64_t load = shard.open(VRAM_LOAD_TREE);
  CHECK_STATUS(VRAM_UNALIGNED, vram_load_seek(load, 1));
  CHECK_STATUS(VRAM_UNALIGNED, vram_load_seek(load, kGroup - 1));
  CHECK_STATUS(VRAM_UNALIGNED, vram_load_seek(load, kGroup + 1));
  CHECK_STATUS(VRAM_UNALIGNED, vram_load_seek(load, 2 * kGroup + 5));
  CHECK_STATUS(VRAM_OUT_OF_BOUNDS, vram_load_seek(load, 3 * kGroup));
  CHECK_STATUS(VRAM_OUT_OF_BOUNDS, vram_load_seek(load, UINT64_MAX - kGroup + 1));
  shard.push(load, kGroup, 2 * kGroup - 1, kGroup, 0);
  CHECK_STATUS(VRAM_LOAD_INCOMPLETE, vram_load_seek(load, 0));
  shard.push_on(load, 2 * kGroup - 1, 2 * kGroup, 1, 0);
  CHECK_STATUS(VRAM_OK, vram_load_seek(load, 0));
  CHECK_STATUS(VRAM_OUT_OF_BOUNDS, vram_load_seek(load, 4 * kGroup));
  CHECK_STATUS(VRAM_LOAD_OVERRUN, [&] {
    REQUIRE_OK(vram_load_seek(load, 2 * kGroup));
    return vram_load_push(load, 0, 6);
  }());

  uint64_t none = 0;
  const uint64_t flat = shard.open(VRAM_LOAD_FLAT | VRAM_LOAD_TREE);
  CHECK_STATUS(VRAM_LOAD_IN_ORDER, vram_load_open_writer(flat, &none));
  CHECK_STATUS(VRAM_LOAD_IN_ORDER, vram_load_seek(flat, 0));
  CHECK(none == 0);
}

TEST("writers: only what has arrived without a gap from the start is sealed") {
  const Session session;
  const Shard shard(session, 3 * kPartBytes);
  const uint64_t allocation = session.alloc(0, shard.data.size());
  const uint64_t load = session.open_load(allocation, 0), writer = open_writer(load);
  const auto sealed = [&] {
    uint64_t bytes = UINT64_MAX;
    REQUIRE_OK(vram_load_seal(load, &bytes));
    return bytes;
  };
  shard.push(writer, kPartBytes, 3 * kPartBytes, kGroup, 1);
  CHECK(sealed() == 0);
  shard.push(load, kGroup, kPartBytes, kGroup, 0);
  CHECK(sealed() == 0);
  shard.push(load, 0, kGroup - 1, kGroup, 0);
  CHECK(sealed() == 0);
  shard.push_on(load, kGroup - 1, kGroup, 1, 0);
  CHECK(sealed() == 2 * kPartBytes);
  for (const uint64_t each : {load, writer}) REQUIRE_OK(vram_load_close(each));
  REQUIRE_OK(vram_seal(allocation));
}

TEST("writers: the allocation is busy until the load and all its writers are closed, in any order") {
  const Session session;
  for (const bool load_first : {true, false}) {
    const uint64_t allocation = session.alloc(0, kGroup);
    const uint64_t load = session.open_load(allocation, 0), writer = open_writer(load);
    REQUIRE_OK(vram_load_close(load_first ? load : writer));
    CHECK_STATUS(VRAM_BUSY, vram_seal(allocation));
    CHECK_STATUS(VRAM_BUSY, vram_free(allocation));
    const uint64_t third = open_writer(load_first ? writer : load);
    REQUIRE_OK(vram_load_close(load_first ? writer : load));
    CHECK_STATUS(VRAM_BUSY, vram_free(allocation));
    REQUIRE_OK(vram_load_close(third));
    CHECK_STATUS(VRAM_STALE_HANDLE, vram_load_seek(writer, 0));
    CHECK_STATUS(VRAM_OK, vram_free(allocation));
  }
}

TEST("writers: a driver that fails one writer fails the load for all, and its memory can be freed") {
  const Session session;
  const Simulator simulator;
  const uint64_t allocation = session.alloc(0, 2 * kGroup);
  const uint64_t load = session.open_load(allocation, VRAM_LOAD_TREE), writer = open_writer(load);
  simulator.set("FAULTS", "cuMemcpyHtoDAsync_v2:1=999");
  CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + 999, vram_load_push(writer, 0, 1));
  CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + 999, vram_load_push(load, 0, 1));
  CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + 999, vram_load_seek(load, 0));
  uint64_t none = 0;
  CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + 999, vram_load_open_writer(load, &none));
  for (const uint64_t each : {load, writer}) CHECK_STATUS(VRAM_OK, vram_load_close(each));
  CHECK_STATUS(VRAM_OK, vram_free(allocation));

  const uint64_t other = session.alloc(0, 2 * kGroup), second = session.open_load(other, 0);
  const uint64_t third = open_writer(second);
  REQUIRE_OK(vram_load_seek(third, kGroup));
  simulator.set("FAULTS", "cuStreamCreate:1+=999");
  // The first load has left one stream.
  CHECK_STATUS(VRAM_OK, vram_load_push(second, 0, 1));
  CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + 999, vram_load_push(third, 1, 1));
  simulator.set("FAULTS", "");
  for (const uint64_t each : {second, third}) REQUIRE_OK(vram_load_close(each));
  CHECK_STATUS(VRAM_OK, vram_free(other));
}

}  // namespace test
