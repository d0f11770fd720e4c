#include "fault_scenario.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "content.h"
#include "descriptors.h"
#include "harness.h"
#include "session.h"
#include "simulator.h"

#define STEP(...)                                                             \
  do {                                                                        \
    if (const vram_status step = (__VA_ARGS__); step != VRAM_OK) return step; \
  } while (false)

namespace test {

namespace {

constexpr uint64_t kBytes = kPartBytes + 5;
constexpr uint64_t kGroups = kPartBytes / VRAM_GROUP_BYTES + 1;

}  // namespace

vram_status FaultScenario::run_steps() {
  STEP(open());
  STEP(fill_and_seal());
  STEP(check_digest(allocation_));
  STEP(fill_by_writers());
  return alloc_flags() == VRAM_ALLOC_EXPORTABLE ? share() : VRAM_OK;
}

vram_status FaultScenario::open() {
  const vram_options options = default_options();
  STEP(vram_open(&options, &driver_));
  for (const uint32_t device : {0u, 1u}) {
    vram_device_info info = {};
    STEP(vram_open_device(driver_, device));
    STEP(vram_device_get_info(driver_, device, &info));
    STEP(info.export_status);
  }
  return VRAM_OK;
}

vram_status FaultScenario::fill_and_seal() {
  static const std::vector<uint8_t> data = content(kBytes);
  static uint8_t scratch[100];
  STEP(vram_alloc(driver_, 0, kBytes, alloc_flags(), &allocation_));
  STEP(vram_write(allocation_, 7, data.data(), sizeof(scratch)));
  STEP(vram_read(allocation_, 7, scratch, sizeof(scratch)));

  void *slots = nullptr;
  uint32_t slot_count = 0;
  STEP(vram_staging(driver_, &slots, &slot_count));
  STEP(vram_load_open(allocation_, VRAM_LOAD_FLAT | VRAM_LOAD_TREE, &load_));
  for (uint64_t done = 0; done < kBytes; done += VRAM_STAGING_SLOT_BYTES) {
    const uint64_t piece = std::min<uint64_t>(kBytes - done, VRAM_STAGING_SLOT_BYTES);
    std::memcpy(slots, data.data() + done, piece);
    STEP(vram_load_push(load_, 0, piece));
  }
  uint64_t sealed_bytes = 0;
  STEP(vram_load_seal(load_, &sealed_bytes));
  if (sealed_bytes != kPartBytes) return VRAM_INTERNAL;
  STEP(vram_load_finish(load_, &loaded_));
  STEP(vram_load_close(load_));
  load_ = 0;
  return vram_seal(allocation_);
}

vram_status FaultScenario::fill_by_writers() {
  STEP(vram_alloc(driver_, 0, 2 * VRAM_GROUP_BYTES, alloc_flags(), &other_));
  STEP(vram_load_open(other_, VRAM_LOAD_TREE, &load_));
  STEP(vram_load_open_writer(load_, &writer_));
  STEP(vram_load_seek(writer_, VRAM_GROUP_BYTES));
  STEP(vram_load_push(writer_, 1, VRAM_GROUP_BYTES));
  STEP(vram_load_push(load_, 0, VRAM_GROUP_BYTES));
  STEP(vram_load_close(writer_));
  writer_ = 0;
  vram_load_result result = {};
  STEP(vram_load_complete(load_, 0, 0, &result));
  load_ = 0;
  uint8_t hashes[2 * VRAM_DIGEST_BYTES] = {};
  vram_residency residency = {};
  return vram_prove(other_, &residency, hashes, sizeof(hashes));
}

vram_status FaultScenario::check_digest(uint64_t allocation) const {
  static uint8_t hashes[kGroups * VRAM_DIGEST_BYTES];
  vram_residency residency = {};
  STEP(vram_attest(allocation, &residency));
  STEP(vram_digest(allocation, 0, kBytes, hashes, sizeof(hashes)));
  uint8_t digest[VRAM_DIGEST_BYTES];
  STEP(vram_tree_digest(hashes, kGroups, kBytes, digest));
  return std::memcmp(digest, loaded_.tree, sizeof(digest)) == 0 ? VRAM_OK : VRAM_INTERNAL;
}

vram_status FaultScenario::share() {
  const SocketPair sockets;
  vram_allocation_info info = {};
  uint64_t sent = 0;
  STEP(vram_allocation_get_info(allocation_, &info));
  STEP(vram_hand_over(allocation_, sockets.ours.get(), "x", 1, &sent));
  const Received received = receive(sockets.peers);
  const std::vector<int32_t> numbers = received.numbers();
  STEP(vram_adopt(driver_, 0, kBytes, info.part_bytes, numbers.data(), static_cast<uint32_t>(numbers.size()),
                  &adopted_));
  return check_digest(adopted_);
}

vram_status FaultScenario::release() {
  vram_status first = VRAM_OK;
  const auto keep_first = [&](vram_status status) { first = first != VRAM_OK ? first : status; };
  if (load_ != 0) keep_first(vram_load_close(load_));
  if (writer_ != 0) keep_first(vram_load_close(writer_));
  if (other_ != 0) keep_first(vram_free(other_));
  if (adopted_ != 0) keep_first(vram_leave(adopted_));
  if (allocation_ != 0) keep_first(vram_free(allocation_));
  if (driver_ != 0) keep_first(vram_close(driver_));
  return first;
}

vram_status FaultScenario::run() {
  const vram_status ran = run_steps();
  const vram_status released = release();
  return ran != VRAM_OK ? ran : released;
}

int run_fault_scenario_alone(const char *fault) {
  const Simulator simulator;
  simulator.set("FAULTS", fault);
  FaultScenario scenario;
  const vram_status status = scenario.run();
  return status == VRAM_DRIVER_ERROR_BASE + CUDA_ERROR_UNKNOWN ? 0 : 1;
}

}  // namespace test
