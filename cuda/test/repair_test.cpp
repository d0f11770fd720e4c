#include <algorithm>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "content.h"
#include "harness.h"
#include "model_directory.h"
#include "session.h"
#include "simulator.h"

namespace test {
namespace {

constexpr uint64_t kGroup = VRAM_GROUP_BYTES;

using Bytes = std::vector<uint8_t>;

Bytes hashes_of(uint64_t allocation, uint64_t bytes) {
  Bytes hashes((bytes + kGroup - 1) / kGroup * VRAM_DIGEST_BYTES);
  REQUIRE_OK(vram_digest(allocation, 0, bytes, hashes.data(), hashes.size()));
  return hashes;
}

Bytes hashes_of(const Session &session, const Bytes &data) {
  const uint64_t allocation = session.alloc(0, data.size());
  REQUIRE_OK(vram_write(allocation, 0, data.data(), data.size()));
  const Bytes hashes = hashes_of(allocation, data.size());
  REQUIRE_OK(vram_free(allocation));
  return hashes;
}

/** Returns a sealed allocation that holds `data`. */
uint64_t sealed(const Session &session, const Bytes &data) {
  const uint64_t allocation = session.alloc(0, data.size());
  REQUIRE_OK(vram_write(allocation, 0, data.data(), data.size()));
  REQUIRE_OK(vram_seal(allocation));
  return allocation;
}

Bytes flipped(Bytes data, std::initializer_list<uint64_t> offsets) {
  for (const uint64_t offset : offsets) data[offset] ^= 0x10;
  return data;
}

vram_status repair(uint64_t allocation, const ModelFile &file, uint64_t offset, uint64_t bytes, const Bytes &hashes) {
  const uint64_t first = offset / kGroup * VRAM_DIGEST_BYTES;
  return repair_whole(allocation, file.file(), offset, bytes, hashes.data() + first, hashes.size() - first);
}

/** Whether memory that libvram reports as sealed is read-only for the driver as well. */
bool is_honest(uint64_t allocation) {
  vram_residency residency = {};
  const vram_status status = vram_attest(allocation, &residency);
  return residency.sealed == 0 || status == VRAM_OK;
}

bool is_sealed(uint64_t allocation) {
  vram_allocation_info info = {};
  REQUIRE_OK(vram_allocation_get_info(allocation, &info));
  return info.sealed == 1;
}

}  // namespace

TEST("a repair restores the range, leaves the rest alone, and seals the memory again") {
  const Session session;
  for (const uint64_t length : {uint64_t{1}, uint64_t{4096}, uint64_t{4097}, kGroup, kGroup + 1, 3 * kGroup + 5}) {
    const Bytes data = content(length), hashes = hashes_of(session, data);
    const ModelFile file(data);
    const uint64_t allocation = sealed(session, flipped(data, {length - 1}));
    CHECK(hashes_of(allocation, length) != hashes);
    const uint64_t offset = (length - 1) / kGroup * kGroup;
    CHECK_STATUS(VRAM_OK, repair(allocation, file, offset, length - offset, hashes));
    CHECK(hashes_of(allocation, length) == hashes);
    CHECK(is_sealed(allocation) && is_honest(allocation));
    CHECK_STATUS(VRAM_SEALED, vram_write(allocation, 0, data.data(), 1));
    REQUIRE_OK(vram_free(allocation));
  }

  const Bytes data = content(3 * kGroup);
  const Bytes hashes = hashes_of(session, data);
  const ModelFile file(data);
  const uint64_t allocation = sealed(session, flipped(data, {0, 2 * kGroup}));
  CHECK_STATUS(VRAM_OK, repair(allocation, file, 0, 2 * kGroup, hashes));
  CHECK(hashes_of(allocation, data.size()) == hashes_of(session, flipped(data, {2 * kGroup})));
  CHECK_STATUS(VRAM_OK, repair(allocation, file, 2 * kGroup, kGroup, hashes));
  CHECK(hashes_of(allocation, data.size()) == hashes);
}

TEST("a group of the file with another hash is never written") {
  const Simulator simulator;
  const Session session;
  const Bytes data = content(3 * kGroup), damaged = flipped(data, {0, kGroup, 2 * kGroup});
  const Bytes hashes = hashes_of(session, data);
  const uint64_t allocation = sealed(session, damaged);
  const ModelFile changed(flipped(data, {kGroup + 7}));
  CHECK_STATUS(VRAM_FILE_DIFFERS, repair(allocation, changed, 0, data.size(), hashes));
  CHECK(hashes_of(allocation, data.size()) == hashes_of(session, flipped(data, {kGroup, 2 * kGroup})));
  CHECK(is_sealed(allocation) && is_honest(allocation));

  simulator.reset();
  CHECK_STATUS(VRAM_FILE_DIFFERS, repair(allocation, changed, kGroup, kGroup, hashes));
  CHECK(simulator.calls("cuMemSetAccess") == 0);
  const ModelFile cut(Bytes(data.begin(), data.begin() + kGroup + 1));
  CHECK_STATUS(VRAM_FILE_TOO_SHORT, repair(allocation, cut, kGroup, kGroup, hashes));
  CHECK(simulator.calls("cuMemSetAccess") == 0);
}

TEST("unsealed memory and invalid ranges are refused") {
  const Session session;
  const Bytes data = content(2 * kGroup + 100), hashes = hashes_of(session, data);
  const ModelFile file(data);
  const uint64_t open = session.alloc(0, data.size()), allocation = sealed(session, data);
  const uint8_t *const first = hashes.data();
  const auto refused = [&](uint64_t offset, uint64_t bytes, uint64_t hashes_bytes) {
    return repair_whole(allocation, file.file(), offset, bytes, first, hashes_bytes);
  };
  CHECK_STATUS(VRAM_NOT_SEALED, repair(open, file, 0, kGroup, hashes));
  CHECK_STATUS(VRAM_ZERO_LENGTH, refused(0, 0, 32));
  CHECK_STATUS(VRAM_OVERFLOW, refused(UINT64_MAX, 2, 32));
  CHECK_STATUS(VRAM_OUT_OF_BOUNDS, refused(2 * kGroup, 101, 32));
  CHECK_STATUS(VRAM_UNALIGNED, refused(4096, kGroup, 64));
  CHECK_STATUS(VRAM_UNALIGNED, refused(0, kGroup - 1, 32));
  CHECK_STATUS(VRAM_BUFFER_TOO_SMALL, refused(0, 2 * kGroup, 63));
}

TEST("if any driver call fails during a repair, writable memory is not reported as sealed and can be freed") {
  const Simulator simulator;
  const Session session;
  const Bytes data = content(2 * kGroup + 5), damaged = flipped(data, {3, 2 * kGroup});
  const Bytes hashes = hashes_of(session, data);
  const ModelFile file(data);
  const uint64_t live_before = simulator.live("*");

  const uint64_t whole = sealed(session, damaged);
  simulator.reset();
  REQUIRE_OK(repair(whole, file, 0, data.size(), hashes));
  const uint64_t calls = simulator.calls("*");
  REQUIRE_OK(vram_free(whole));
  CHECK(calls >= 8);

  for (const char *how : {"=999", "+=999"}) {
    for (uint64_t call = 1; call <= calls; ++call) {
      const std::string fault = "*:" + std::to_string(call) + how;
      const uint64_t allocation = sealed(session, damaged);
      simulator.set("FAULTS", fault);
      (void)check_status(__FILE__, __LINE__, VRAM_DRIVER_ERROR_BASE + CUDA_ERROR_UNKNOWN,
                         repair(allocation, file, 0, data.size(), hashes), fault);
      simulator.set("FAULTS", "");
      if (!is_honest(allocation)) fail(__FILE__, __LINE__, fault + " leaves memory that is not what it is called");
      if (!is_sealed(allocation)) {
        CHECK_STATUS(VRAM_NOT_SEALED, repair(allocation, file, 0, data.size(), hashes));
        CHECK_STATUS(VRAM_OK, vram_seal(allocation));
      }
      CHECK_STATUS(VRAM_OK, repair(allocation, file, 0, data.size(), hashes));
      CHECK(hashes_of(allocation, data.size()) == hashes);
      CHECK(is_sealed(allocation) && is_honest(allocation));
      CHECK_STATUS(VRAM_OK, vram_free(allocation));

      const uint64_t other = sealed(session, damaged);
      simulator.set("FAULTS", fault);
      (void)repair(other, file, 0, data.size(), hashes);
      simulator.set("FAULTS", "");
      CHECK_STATUS(VRAM_OK, vram_free(other));
      CHECK(simulator.live("*") == live_before);
    }
  }
}

TEST("a digest during a repair sees each group before or after it, nothing in between") {
  const Session session;
  const Bytes data = content(2 * kGroup), damaged = flipped(data, {0, kGroup});
  const Bytes good = hashes_of(session, data), bad = hashes_of(session, damaged);
  const auto is_from = [](const Bytes &hashes, const Bytes &from, size_t group) {
    const auto first = static_cast<std::ptrdiff_t>(group * VRAM_DIGEST_BYTES);
    return std::equal(hashes.begin() + first, hashes.begin() + first + VRAM_DIGEST_BYTES, from.begin() + first);
  };
  const ModelFile file(data);
  for (int round = 0; round < 5; ++round) {
    const uint64_t allocation = sealed(session, damaged);
    std::thread other([&] {
      for (int turn = 0; turn < 5; ++turn) {
        Bytes hashes(good.size());
        CHECK_STATUS(VRAM_OK, vram_digest(allocation, 0, data.size(), hashes.data(), hashes.size()));
        for (size_t group = 0; group < 2; ++group) CHECK(is_from(hashes, good, group) || is_from(hashes, bad, group));
      }
    });
    CHECK_STATUS(VRAM_OK, repair(allocation, file, 0, data.size(), good));
    other.join();
    CHECK(hashes_of(allocation, data.size()) == good);
    REQUIRE_OK(vram_free(allocation));
  }
}

TEST("a repair from memory writes groups with the expected hash, and no others") {
  const Session session;
  const Bytes data = content(2 * kGroup + 5), hashes = hashes_of(session, data);
  const uint64_t allocation = sealed(session, flipped(data, {0, kGroup + 1}));
  const Bytes other = flipped(data, {kGroup + 9});
  CHECK_STATUS(VRAM_FILE_DIFFERS,
               vram_repair_bytes(allocation, 0, other.data(), other.size(), hashes.data(), hashes.size()));
  CHECK(hashes_of(allocation, data.size()) != hashes);
  CHECK(is_sealed(allocation) && is_honest(allocation));
  CHECK_STATUS(VRAM_UNALIGNED, vram_repair_bytes(allocation, 1, data.data(), kGroup, hashes.data(), hashes.size()));
  REQUIRE_OK(vram_repair_bytes(allocation, 0, data.data(), data.size(), hashes.data(), hashes.size()));
  CHECK(hashes_of(allocation, data.size()) == hashes);
  CHECK(is_sealed(allocation) && is_honest(allocation));
}

}  // namespace test
