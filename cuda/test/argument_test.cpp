#include <functional>
#include <string>
#include <vector>

#include "harness.h"
#include "model_directory.h"
#include "session.h"

namespace test {
namespace {

struct Case {
  vram_status expected;
  const char *what;
  std::function<vram_status()> call;
};

#define CASE(expected, call) {expected, #call, [&] { return call; }}

void check(const std::vector<Case> &rows) {
  for (const Case &row : rows) (void)check_status(__FILE__, __LINE__, row.expected, row.call(), row.what);
}

}  // namespace

TEST("every function refuses null pointers") {
  const Session session;
  const uint64_t driver = session.driver(), allocation = session.alloc(0, 100);
  const uint64_t load = session.open_load(allocation);
  uint64_t handle = 0;
  uint32_t count = 0;
  int32_t descriptor = -1;
  void *base = nullptr;
  uint8_t hash[VRAM_DIGEST_BYTES] = {};
  vram_residency residency = {};
  vram_load_result result = {};
  const ModelFile file({1});
  const vram_file_range range = {0, 1, 0, 0};
  const vram_options options = default_options();
  vram_options no_driver = options, no_kernels = options;
  no_driver.driver_path = nullptr;
  no_kernels.kernels_path = nullptr;
  check({
      CASE(VRAM_NULL_ARGUMENT, vram_open(nullptr, &handle)),
      CASE(VRAM_NULL_ARGUMENT, vram_open(&options, nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_open(&no_driver, &handle)),
      CASE(VRAM_NULL_ARGUMENT, vram_open(&no_kernels, &handle)),
      CASE(VRAM_NULL_ARGUMENT, vram_staging(driver, nullptr, &count)),
      CASE(VRAM_NULL_ARGUMENT, vram_staging(driver, &base, nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_driver_get_info(driver, nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_device_count(driver, nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_device_get_info(driver, 0, nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_alloc(driver, 0, 1, alloc_flags(), nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_allocation_get_info(allocation, nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_write(allocation, 0, nullptr, 1)),
      CASE(VRAM_NULL_ARGUMENT, vram_read(allocation, 0, nullptr, 1)),
      CASE(VRAM_NULL_ARGUMENT, vram_attest(allocation, nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_prove(allocation, nullptr, hash, 32)),
      CASE(VRAM_NULL_ARGUMENT, vram_prove(allocation, &residency, nullptr, 32)),
      CASE(VRAM_NULL_ARGUMENT, vram_digest(allocation, 0, 1, nullptr, 32)),
      CASE(VRAM_NULL_ARGUMENT, vram_repair(allocation, file.handle(), nullptr, hash, 32, &handle)),
      CASE(VRAM_NULL_ARGUMENT, vram_repair(allocation, file.handle(), &range, nullptr, 32, &handle)),
      CASE(VRAM_NULL_ARGUMENT, vram_repair(allocation, file.handle(), &range, hash, 32, nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_file_open(nullptr, "a", &handle)),
      CASE(VRAM_NULL_ARGUMENT, vram_file_open("/", nullptr, &handle)),
      CASE(VRAM_NULL_ARGUMENT, vram_file_open("/", "a", nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_file_reopen(file.handle(), nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_file_get_info(file.handle(), nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_link_open(nullptr, "a", &handle)),
      CASE(VRAM_NULL_ARGUMENT, vram_list_open("/", nullptr, 1, &handle)),
      CASE(VRAM_NULL_ARGUMENT, vram_file_read(file.handle(), &range, nullptr, 1, &handle)),
      CASE(VRAM_NULL_ARGUMENT, vram_hand_over(allocation, 0, nullptr, 1, &handle)),
      CASE(VRAM_NULL_ARGUMENT, vram_hand_over(allocation, 0, "x", 1, nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_adopt(driver, 0, 1, kPartBytes, nullptr, 1, &handle)),
      CASE(VRAM_NULL_ARGUMENT, vram_adopt(driver, 0, 1, kPartBytes, &descriptor, 1, nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_load_open(allocation, 0, nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_load_open_host(driver, 1, 0, nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_load_file(load, file.handle(), nullptr, &handle)),
      CASE(VRAM_NULL_ARGUMENT, vram_load_file(load, file.handle(), &range, nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_load_socket(load, 0, 1, 0, nullptr, 1, &handle)),
      CASE(VRAM_NULL_ARGUMENT, vram_load_socket(load, 0, 1, 0, &count, 1, nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_load_open_writer(load, nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_load_seal(load, nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_load_finish(load, nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_load_complete(load, 0, 0, nullptr)),
      CASE(VRAM_NULL_ARGUMENT, vram_load_prove(load, 0, 0, nullptr, &residency, hash, 32)),
      CASE(VRAM_NULL_ARGUMENT, vram_load_prove(load, 0, 0, &result, nullptr, hash, 32)),
      CASE(VRAM_NULL_ARGUMENT, vram_load_prove(load, 0, 0, &result, &residency, nullptr, 32)),
      CASE(VRAM_NULL_ARGUMENT, vram_tree_digest(nullptr, 1, 1, static_cast<uint8_t *>(base))),
      CASE(VRAM_NULL_ARGUMENT, vram_tree_digest(nullptr, 0, 0, nullptr)),
  });
}

TEST("every function refuses unknown handles, handles of another kind, and stale handles") {
  const Session session;
  const uint64_t driver = session.driver(), allocation = session.alloc(0, 100);
  const uint64_t load = session.open_load(allocation);
  const uint64_t freed_allocation = session.alloc(0, 100);
  const uint64_t closed_load = session.open_load(freed_allocation);
  REQUIRE_OK(vram_load_close(closed_load));
  REQUIRE_OK(vram_free(freed_allocation));
  uint64_t closed_driver = 0;
  const vram_options options = default_options();
  REQUIRE_OK(vram_open(&options, &closed_driver));
  REQUIRE_OK(vram_close(closed_driver));

  uint8_t bytes[32] = {};
  uint64_t out = 0;
  uint32_t count = 0, slot = 0;
  int32_t descriptor = -1;
  void *base = nullptr;
  vram_driver_info driver_info;
  vram_device_info device_info;
  vram_allocation_info allocation_info;
  vram_residency residency;
  vram_load_result result;
  const ModelFile file({1});
  uint64_t closed_file = 0;
  REQUIRE_OK(vram_file_open("/", "none", &closed_file));
  REQUIRE_OK(vram_file_close(closed_file));
  const vram_file_range range = {0, 1, 0, 0};
  vram_file_info file_info;
  using Call = std::function<vram_status(uint64_t)>;
  const std::vector<Call> of_file = {
      [&](uint64_t h) { return vram_file_stat(h); },
      [&](uint64_t h) { return vram_file_reopen(h, &out); },
      [&](uint64_t h) { return vram_file_get_info(h, &file_info); },
      [&](uint64_t h) { return vram_load_file(load, h, &range, &out); },
  };
  const std::vector<Call> of_driver = {
      [&](uint64_t h) { return vram_staging(h, &base, &count); },
      [&](uint64_t h) { return vram_open_device(h, 0); },
      [&](uint64_t h) { return vram_driver_get_info(h, &driver_info); },
      [&](uint64_t h) { return vram_device_count(h, &count); },
      [&](uint64_t h) { return vram_device_get_info(h, 0, &device_info); },
      [&](uint64_t h) { return vram_alloc(h, 0, 1, alloc_flags(), &out); },
      [&](uint64_t h) { return vram_load_open_host(h, 1, 0, &out); },
      [&](uint64_t h) { return vram_adopt(h, 0, 1, kPartBytes, &descriptor, 1, &out); },
  };
  const std::vector<Call> of_allocation = {
      [&](uint64_t h) { return vram_allocation_get_info(h, &allocation_info); },
      [&](uint64_t h) { return vram_write(h, 0, bytes, 1); },
      [&](uint64_t h) { return vram_read(h, 0, bytes, 1); },
      [&](uint64_t h) { return vram_seal(h); },
      [&](uint64_t h) { return vram_attest(h, &residency); },
      [&](uint64_t h) { return vram_prove(h, &residency, bytes, 32); },
      [&](uint64_t h) { return vram_digest(h, 0, 100, bytes, 32); },
      [&](uint64_t h) { return vram_repair(h, file.handle(), &range, bytes, 32, &out); },
      [&](uint64_t h) { return vram_load_open(h, 0, &out); },
      [&](uint64_t h) { return vram_hand_over(h, -1, bytes, 1, &out); },
  };
  const std::vector<Call> of_load = {
      [&](uint64_t h) { return vram_load_open_writer(h, &out); },
      [&](uint64_t h) { return vram_load_seek(h, 0); },
      [&](uint64_t h) { return vram_load_push(h, 0, 1); },
      [&](uint64_t h) { return vram_load_push_slots(h, &slot, 1, 1); },
      [&](uint64_t h) { return vram_load_file(h, file.handle(), &range, &out); },
      [&](uint64_t h) { return vram_load_socket(h, 0, 1, 0, &slot, 1, &out); },
      [&](uint64_t h) { return vram_load_seal(h, &out); },
      [&](uint64_t h) { return vram_load_finish(h, &result); },
      [&](uint64_t h) { return vram_load_complete(h, 0, 0, &result); },
      [&](uint64_t h) { return vram_load_prove(h, 0, 0, &result, &residency, bytes, 32); },
  };
  const auto check_kind = [](std::vector<Call> calls, const Call &close, uint64_t stale,
                             const std::vector<uint64_t> &others) {
    for (const Call &call : calls) CHECK_STATUS(VRAM_STALE_HANDLE, call(stale));
    CHECK_STATUS(VRAM_OK, close(stale));
    calls.push_back(close);
    for (const Call &call : calls) {
      for (const uint64_t other : others) CHECK_STATUS(VRAM_BAD_HANDLE, call(other));
    }
  };
  const uint64_t never = uint64_t{1} << 52;
  check_kind(of_driver, vram_close, closed_driver, {0, 1, 2, 3, never, UINT64_MAX, allocation, load, closed_load});
  check_kind(of_allocation, vram_free, freed_allocation, {0, 1, 2, 3, never, UINT64_MAX, driver, load, closed_load});
  check_kind(of_file, vram_file_close, closed_file,
             {0, 1, 2, 3, never, UINT64_MAX, driver, allocation, load, closed_load});
  check_kind(of_load, vram_load_close, closed_load,
             {0, 1, 2, 3, never, UINT64_MAX, driver, allocation, freed_allocation});
  CHECK(out == 0 && count == 0 && base == nullptr);
}

TEST("invalid lengths, ranges and ordinals have the status that vram.h names") {
  const Session session;
  const uint64_t driver = session.driver();
  constexpr uint64_t kBytes = 2 * VRAM_GROUP_BYTES + 100;
  const uint64_t allocation = session.alloc(0, kBytes), other = session.alloc(0, 10);
  const uint64_t load = session.open_load(other);
  uint64_t out = 0;
  uint8_t hashes[4 * VRAM_DIGEST_BYTES] = {};
  const int32_t descriptors[65] = {};
  const uint32_t good_slots[] = {0, 1}, same_slots[] = {1, 1}, bad_slots[] = {0, kSlots};
  const ModelFile file({1});
  const auto load_file = [&](uint64_t offset, uint64_t bytes, uint32_t wait_ms = 0) {
    const vram_file_range range = {offset, bytes, wait_ms, 0};
    return vram_load_file(load, file.handle(), &range, &out);
  };
  vram_options no_room = default_options(), no_slots = default_options();
  vram_options no_part = default_options(), half_a_group = default_options();
  no_part.part_bytes = 0;
  half_a_group.part_bytes = VRAM_GROUP_BYTES / 2;
  no_room.max_allocation_bytes = 0;
  no_slots.staging_slots = 0;
  check({
      CASE(VRAM_ZERO_LENGTH, vram_open(&no_room, &out)),
      CASE(VRAM_ZERO_LENGTH, vram_open(&no_slots, &out)),
      CASE(VRAM_ZERO_LENGTH, vram_open(&no_part, &out)),
      CASE(VRAM_UNALIGNED, vram_open(&half_a_group, &out)),
      CASE(VRAM_BAD_DEVICE, vram_open_device(driver, session.device_count())),
      CASE(VRAM_BAD_DEVICE, vram_open_device(driver, UINT32_MAX)),
      CASE(VRAM_BAD_DEVICE, vram_alloc(driver, session.device_count(), 1, alloc_flags(), &out)),
      CASE(VRAM_BAD_DEVICE, vram_alloc(driver, UINT32_MAX, 0, alloc_flags(), &out)),
      CASE(VRAM_ZERO_LENGTH, vram_alloc(driver, 0, 0, alloc_flags(), &out)),
      CASE(VRAM_OUT_OF_BOUNDS, vram_alloc(driver, 0, 1, 2, &out)),
      CASE(VRAM_ZERO_LENGTH, vram_hand_over(allocation, 0, hashes, 0, &out)),
      CASE(VRAM_NOT_SEALED, vram_hand_over(allocation, 0, hashes, 1, &out)),
      CASE(VRAM_NOT_EXPORTED, vram_leave(allocation)),
      CASE(VRAM_BUSY, vram_leave(other)),
      CASE(VRAM_BAD_DEVICE, vram_adopt(driver, UINT32_MAX, 1, kPartBytes, descriptors, 1, &out)),
      CASE(VRAM_ZERO_LENGTH, vram_adopt(driver, 0, 0, kPartBytes, descriptors, 1, &out)),
      CASE(VRAM_ZERO_LENGTH, vram_adopt(driver, 0, 1, 0, descriptors, 1, &out)),
      CASE(VRAM_ZERO_LENGTH, vram_adopt(driver, 0, 1, kPartBytes, descriptors, 0, &out)),
      CASE(VRAM_TOO_LARGE, vram_adopt(driver, 0, UINT64_MAX, kPartBytes, descriptors, 1, &out)),
      CASE(VRAM_UNALIGNED, vram_adopt(driver, 0, 1, kPartBytes + 4096, descriptors, 1, &out)),
      CASE(VRAM_UNALIGNED, vram_adopt(driver, 0, 1, VRAM_GROUP_BYTES, descriptors, 1, &out)),
      CASE(VRAM_OUT_OF_BOUNDS, vram_adopt(driver, 0, 1, kPartBytes, descriptors, 2, &out)),
      CASE(VRAM_OUT_OF_BOUNDS, vram_adopt(driver, 0, kPartBytes + 1, kPartBytes, descriptors, 1, &out)),
      CASE(VRAM_OUT_OF_BOUNDS, vram_adopt(driver, 0, 65 * kPartBytes, kPartBytes, descriptors, 65, &out)),
      CASE(VRAM_ZERO_LENGTH, vram_digest(allocation, 0, 0, hashes, sizeof(hashes))),
      CASE(VRAM_OVERFLOW, vram_digest(allocation, UINT64_MAX, 2, hashes, sizeof(hashes))),
      CASE(VRAM_OUT_OF_BOUNDS, vram_digest(allocation, 0, kBytes + 1, hashes, sizeof(hashes))),
      CASE(VRAM_OUT_OF_BOUNDS, vram_digest(allocation, 1, kBytes, hashes, sizeof(hashes))),
      CASE(VRAM_UNALIGNED, vram_digest(allocation, 4096, VRAM_GROUP_BYTES, hashes, sizeof(hashes))),
      CASE(VRAM_UNALIGNED, vram_digest(allocation, 0, kBytes - 1, hashes, sizeof(hashes))),
      CASE(VRAM_BUFFER_TOO_SMALL, vram_digest(allocation, 0, kBytes, hashes, 3 * VRAM_DIGEST_BYTES - 1)),
      CASE(VRAM_BUFFER_TOO_SMALL, vram_digest(allocation, 0, kBytes, hashes, 0)),
      CASE(VRAM_BUSY, vram_load_open(other, 0, &out)),
      CASE(VRAM_BUSY, vram_seal(other)),
      CASE(VRAM_BUSY, vram_free(other)),
      CASE(VRAM_OUT_OF_BOUNDS, vram_load_open(allocation, 4, &out)),
      CASE(VRAM_OUT_OF_BOUNDS, vram_load_open_host(driver, 1, 1u << 31, &out)),
      CASE(VRAM_ZERO_LENGTH, vram_load_open_host(driver, 0, 0, &out)),
      CASE(VRAM_ZERO_LENGTH, vram_load_push(load, 0, 0)),
      CASE(VRAM_OUT_OF_BOUNDS, vram_load_push(load, kSlots, 1)),
      CASE(VRAM_OUT_OF_BOUNDS, vram_load_push(load, 0, VRAM_STAGING_SLOT_BYTES + 1)),
      CASE(VRAM_LOAD_OVERRUN, vram_load_push(load, 0, 11)),
      CASE(VRAM_NULL_ARGUMENT, vram_load_push_slots(load, nullptr, 1, 1)),
      CASE(VRAM_ZERO_LENGTH, vram_load_push_slots(load, good_slots, 0, 1)),
      CASE(VRAM_ZERO_LENGTH, vram_load_push_slots(load, good_slots, 2, 0)),
      CASE(VRAM_OUT_OF_BOUNDS, vram_load_push_slots(load, same_slots, 2, VRAM_STAGING_SLOT_BYTES + 1)),
      CASE(VRAM_OUT_OF_BOUNDS, vram_load_push_slots(load, bad_slots, 2, VRAM_STAGING_SLOT_BYTES + 1)),
      CASE(VRAM_OUT_OF_BOUNDS, vram_load_push_slots(load, good_slots, 2, VRAM_STAGING_SLOT_BYTES)),
      CASE(VRAM_OUT_OF_BOUNDS, vram_load_push_slots(load, good_slots, 2, 2 * VRAM_STAGING_SLOT_BYTES + 1)),
      CASE(VRAM_LOAD_OVERRUN, vram_load_push_slots(load, good_slots, 2, VRAM_STAGING_SLOT_BYTES + 1)),
      CASE(VRAM_ZERO_LENGTH, load_file(0, 0)),
      CASE(VRAM_OVERFLOW, load_file(UINT64_MAX, 2)),
      CASE(VRAM_OUT_OF_BOUNDS, load_file(0, 1, UINT32_MAX)),
      CASE(VRAM_LOAD_OVERRUN, load_file(0, 11)),
      CASE(VRAM_ZERO_LENGTH, vram_load_socket(load, 0, 0, 0, good_slots, 2, &out)),
      CASE(VRAM_ZERO_LENGTH, vram_load_socket(load, 0, 1, 0, good_slots, 0, &out)),
      CASE(VRAM_OUT_OF_BOUNDS, vram_load_socket(load, 0, 1, UINT32_MAX, good_slots, 2, &out)),
      CASE(VRAM_OUT_OF_BOUNDS, vram_load_socket(load, 0, 1, 0, same_slots, 2, &out)),
      CASE(VRAM_OUT_OF_BOUNDS, vram_load_socket(load, 0, 1, 0, bad_slots, 2, &out)),
      CASE(VRAM_LOAD_OVERRUN, vram_load_socket(load, 0, 11, 0, good_slots, 2, &out)),
      CASE(VRAM_OUT_OF_BOUNDS, vram_tree_digest(hashes, 1, 0, hashes)),
      CASE(VRAM_OUT_OF_BOUNDS, vram_tree_digest(hashes, 1, VRAM_GROUP_BYTES + 1, hashes)),
      CASE(VRAM_OUT_OF_BOUNDS, vram_tree_digest(hashes, 1, UINT64_MAX, hashes)),
  });
  CHECK(out == 0);

  session.push_all(load, std::vector<uint8_t>(10, 1), 10, 0);
  vram_load_result result = {};
  CHECK_STATUS(VRAM_OK, vram_load_finish(load, &result));
}

}  // namespace test
