/** Reads of files by several writers, into the buffers that they share. */
#include <algorithm>
#include <thread>
#include <vector>

#include "content.h"
#include "file_faults.h"
#include "harness.h"
#include "model_directory.h"
#include "session.h"
#include "simulator.h"

namespace test {

TEST("slow reads of several writers run at the same time, so that their rates add up") {
  constexpr size_t kWriters = 8;
  const ModelDirectory models;
  const std::vector<uint8_t> data = content(kWriters * VRAM_GROUP_BYTES);
  models.write("hang-read", data);
  const Session session;
  const uint64_t allocation = session.alloc(0, data.size()), load = session.open_load(allocation, VRAM_LOAD_TREE);
  std::vector<std::thread> threads;
  {
    const Gate gate(models.path("gate"));
    for (size_t index = 0; index < kWriters; ++index) {
      uint64_t writer = 0;
      REQUIRE_OK(vram_load_open_writer(load, &writer));
      threads.emplace_back([&models, writer, index] {
        const OpenFile file(models, "hang-read");
        const uint64_t offset = index * VRAM_GROUP_BYTES;
        CHECK_STATUS(VRAM_OK, vram_load_seek(writer, offset));
        CHECK_STATUS(VRAM_OK, load_whole(writer, file, offset, VRAM_GROUP_BYTES));
        CHECK_STATUS(VRAM_OK, vram_load_close(writer));
      });
    }
    while (hanging_calls() < static_cast<int>(kWriters)) std::this_thread::yield();
  }
  for (std::thread &thread : threads) thread.join();
  vram_load_result result = {};
  REQUIRE_OK(vram_load_finish(load, &result));
  REQUIRE_OK(vram_load_close(load));
  CHECK(session.read(allocation, 0, data.size()) == data);
}

TEST("more files than buffers of an earlier load are read at the same time, each to its own memory") {
  const Session session;
  const std::vector<uint8_t> data = content(9 * VRAM_GROUP_BYTES + 77);
  for (const size_t count : {1, 6, 3}) {
    std::vector<std::thread> threads;
    for (size_t index = 0; index < count; ++index) {
      threads.emplace_back([&session, &data] {
        const ModelFile file(data);
        const uint64_t allocation = session.alloc(0, data.size()), load = session.open_load(allocation);
        REQUIRE_OK(load_whole(load, file.file(), 0, data.size()));
        REQUIRE_OK(vram_load_close(load));
        CHECK(session.read(allocation, 0, data.size()) == data);
        CHECK_STATUS(VRAM_OK, vram_free(allocation));
      });
    }
    for (std::thread &thread : threads) thread.join();
  }
}

TEST("bytes that were read into memory before a load, from the same file, do not reach the device unpinned") {
  const Session session;
  const std::vector<uint8_t> data = content(3 * VRAM_GROUP_BYTES);
  const ModelFile file(data);
  std::vector<uint8_t> head(1000);
  const vram_file_range range = {0, head.size(), 1000, 0};
  uint64_t read = 0;
  REQUIRE_OK(vram_file_read(file.handle(), &range, head.data(), head.size(), &read));
  CHECK(read == head.size() && std::equal(head.begin(), head.end(), data.begin()));
  const uint64_t allocation = session.alloc(0, data.size()), load = session.open_load(allocation);
  REQUIRE_OK(load_whole(load, file.file(), 0, data.size()));
  REQUIRE_OK(vram_load_close(load));
  CHECK(session.read(allocation, 0, data.size()) == data);
}

TEST("a read ahead that begins after a call with an earlier end does not take that end for the end of the file") {
  constexpr uint64_t kGroup = VRAM_GROUP_BYTES;
  constexpr int kFileThreads = 32;  // as vram_file.h says
  const Session session;
  const Simulator simulator;
  const std::vector<uint8_t> data = content(16 * kGroup);
  const ModelDirectory models;
  models.write("model", data);
  const OpenFile file(models, "model");
  const uint64_t allocation = session.alloc(0, data.size());
  const auto load = [&](const char *faults, uint64_t from_group, uint64_t until_group) {
    const uint64_t each = session.open_load(allocation, VRAM_LOAD_TREE);
    const vram_file_range range = {from_group * kGroup, (until_group - from_group) * kGroup, 1000, 0};
    uint64_t received = 0;
    simulator.set("FAULTS", faults);
    const vram_status status = vram_load_file(each, file.handle(), &range, &received);
    simulator.set("FAULTS", "");
    REQUIRE_OK(vram_load_close(each));
    return status;
  };
  // The first group is copied so slowly that seven more are read. The copy then fails.
  simulator.set("LATENCY_US", "100000");
  CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + 999, load("cuEventRecord:1=999", 0, 16));
  simulator.set("LATENCY_US", "");
  (void)file.settled();
  std::vector<uint64_t> hanging;
  {
    const Gate gate(models.path("gate"));
    for (int i = 0; i < kFileThreads; ++i) {
      REQUIRE_OK(vram_file_open(models.path().c_str(), "hang-open", &hanging.emplace_back()));
    }
    while (hanging_calls() < kFileThreads) std::this_thread::yield();
    // Two groups are copied, so their buffers wait for a thread to fill them. No call takes the fourth group but the last.
    CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + 999, load("cuMemcpyHtoDAsync_v2:2=999", 1, 16));
    CHECK(file.info().pending == 1);
    CHECK_STATUS(VRAM_OK, load("", 3, 4));
  }
  CHECK_STATUS(VRAM_OK, file.settled().status);
  CHECK_STATUS(VRAM_OK, load("", 0, 16));
  for (const uint64_t handle : hanging) CHECK_STATUS(VRAM_OK, vram_file_close(handle));
}

}  // namespace test
