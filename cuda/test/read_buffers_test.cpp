/** Reads of files by several writers, into the buffers that they share. */
#include <algorithm>
#include <thread>
#include <vector>

#include "content.h"
#include "file_faults.h"
#include "harness.h"
#include "model_directory.h"
#include "session.h"

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

}  // namespace test
