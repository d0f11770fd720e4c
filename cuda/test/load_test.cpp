#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <vector>

#include "content.h"
#include "harness.h"
#include "session.h"
#include "simulator.h"

namespace test {
namespace {

/** A temporary file with known bytes; gone with the object. */
class File {
 public:
  explicit File(const std::vector<uint8_t> &data) : file_(std::tmpfile()) {
    REQUIRE(file_ != nullptr);
    REQUIRE(std::fwrite(data.data(), 1, data.size(), file_) == data.size());
    REQUIRE(std::fflush(file_) == 0);
  }
  ~File() { (void)std::fclose(file_); }
  File(const File &) = delete;
  File &operator=(const File &) = delete;
  int descriptor() const { return fileno(file_); }

 private:
  std::FILE *file_;
};

const std::vector<uint32_t> kThreeSlots = {5, 1, 6};

vram_status load_file(uint64_t load, const File &file, uint64_t offset, uint64_t bytes,
                      const std::vector<uint32_t> &slots) {
  return vram_load_file(load, file.descriptor(), offset, bytes, slots.data(), static_cast<uint32_t>(slots.size()));
}

}  // namespace

TEST("pieces of any size make the same digests and the same bytes") {
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

TEST("a load computes what it was asked for, and finishing twice gives the same") {
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

TEST("a load on the host alone takes no call of the driver") {
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

TEST("a file is loaded through one slot or several, from any offset, among pushes") {
  const Session session;
  const std::vector<uint8_t> data = content(5 * kMiB + 333);
  std::vector<uint8_t> stored(100, 0xee);
  stored.insert(stored.end(), data.begin(), data.end());
  const File file(stored);
  vram_load_result expected = {};
  (void)session.load(0, data, &expected);
  for (const std::vector<uint32_t> &slots : {std::vector<uint32_t>{2}, {0, 7}, kThreeSlots}) {
    const uint64_t allocation = session.alloc(0, data.size());
    const uint64_t load = session.open_load(allocation);
    session.push_all(load, {data.begin(), data.begin() + 10}, 10, 0);
    REQUIRE_OK(load_file(load, file, 110, data.size() - 15, slots));
    session.push_all(load, {data.end() - 5, data.end()}, 5, 0);
    vram_load_result result = {};
    REQUIRE_OK(vram_load_finish(load, &result));
    CHECK(std::memcmp(&result, &expected, sizeof(result)) == 0);
    REQUIRE_OK(vram_load_close(load));
    CHECK(session.read(allocation, 0, data.size()) == data);
    REQUIRE_OK(vram_free(allocation));
  }
}

TEST("a file that ends early, or can't be read, fails the load for good") {
  const Session session;
  const File file(content(2 * kMiB));
  const uint64_t bytes = 3 * kMiB;
  uint64_t load = session.open_load(session.alloc(0, bytes));
  CHECK_STATUS(VRAM_FILE_TOO_SHORT, load_file(load, file, 0, bytes, kThreeSlots));
  CHECK_STATUS(VRAM_FILE_TOO_SHORT, vram_load_push(load, 0, 1));
  CHECK_STATUS(VRAM_OK, vram_load_close(load));

  load = session.open_load(session.alloc(0, bytes));
  CHECK_STATUS(VRAM_FILE_ERROR, vram_load_file(load, -1, 0, bytes, kThreeSlots.data(), 3));
  CHECK_STATUS(VRAM_OK, vram_load_close(load));

  load = session.open_load(session.alloc(0, bytes));
  const int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  CHECK_STATUS(VRAM_FILE_ERROR, vram_load_file(load, directory, 0, bytes, kThreeSlots.data(), 3));
  CHECK_STATUS(VRAM_FILE_ERROR, load_file(load, file, UINT64_MAX - bytes, bytes, kThreeSlots));
  close(directory);
}

TEST("a load is finished when it has all its bytes, no sooner, and takes no more") {
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

TEST("a load holds its allocation until it is closed") {
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
