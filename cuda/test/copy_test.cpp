#include <algorithm>
#include <utility>
#include <vector>

#include "content.h"
#include "harness.h"
#include "session.h"

namespace test {

TEST("written bytes are read back: patterns, offsets, odd lengths") {
  const Session session;
  const uint64_t bytes = 3 * kMiB + 17;
  const uint64_t allocation = session.alloc(0, bytes);
  for (const uint8_t pattern : {uint8_t{0x00}, uint8_t{0xff}, uint8_t{0xaa}, uint8_t{0x55}}) {
    const std::vector<uint8_t> data(bytes, pattern);
    REQUIRE_OK(vram_write(allocation, 0, data.data(), bytes));
    CHECK(session.read(allocation, 0, bytes) == data);
  }
  std::vector<uint8_t> expected = content(bytes);
  REQUIRE_OK(vram_write(allocation, 0, expected.data(), bytes));
  const uint8_t mark[3] = {1, 2, 3};
  for (const uint64_t offset : {uint64_t{0}, uint64_t{4095}, kMiB - 1, bytes - 3}) {
    REQUIRE_OK(vram_write(allocation, offset, mark, sizeof(mark)));
    for (size_t i = 0; i < sizeof(mark); ++i) expected[offset + i] = mark[i];
    CHECK(session.read(allocation, offset, 3) == std::vector<uint8_t>(mark, mark + 3));
  }
  CHECK(session.read(allocation, 0, bytes) == expected);
}

TEST("a large allocation can be written and read in pieces") {
  const Session session;
  const std::vector<uint8_t> data = content(40 * kMiB);
  const uint64_t allocation = session.alloc(0, data.size());
  constexpr uint64_t kPiece = 7 * kMiB + 13;
  for (uint64_t done = 0; done < data.size(); done += kPiece) {
    const uint64_t bytes = std::min<uint64_t>(kPiece, data.size() - done);
    REQUIRE_OK(vram_write(allocation, done, data.data() + done, bytes));
  }
  CHECK(session.read(allocation, 0, data.size()) == data);
}

TEST("zero bytes can be written and read at any offset up to the end") {
  const Session session;
  const uint64_t allocation = session.alloc(0, 100);
  uint8_t byte = 7;
  for (const uint64_t offset : {0, 50, 100}) {
    CHECK_STATUS(VRAM_OK, vram_write(allocation, offset, &byte, 0));
    CHECK_STATUS(VRAM_OK, vram_read(allocation, offset, &byte, 0));
  }
  CHECK_STATUS(VRAM_OUT_OF_BOUNDS, vram_write(allocation, 101, &byte, 0));
  CHECK_STATUS(VRAM_OUT_OF_BOUNDS, vram_read(allocation, 101, &byte, 0));
  CHECK(byte == 7);
}

TEST("a range past the end is refused, even inside the last granule") {
  const Session session;
  const uint64_t allocation = session.alloc(0, 100);
  uint8_t bytes[200] = {};
  for (const auto &[offset, length] : {std::pair<uint64_t, uint64_t>{0, 101}, {100, 1}, {99, 2}, {1u << 30, 1}}) {
    CHECK_STATUS(VRAM_OUT_OF_BOUNDS, vram_write(allocation, offset, bytes, length));
    CHECK_STATUS(VRAM_OUT_OF_BOUNDS, vram_read(allocation, offset, bytes, length));
  }
  CHECK_STATUS(VRAM_OVERFLOW, vram_write(allocation, UINT64_MAX, bytes, 1));
  CHECK_STATUS(VRAM_OVERFLOW, vram_read(allocation, 2, bytes, UINT64_MAX - 1));
}

}  // namespace test
