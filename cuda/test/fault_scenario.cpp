#include "fault_scenario.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "content.h"
#include "harness.h"
#include "session.h"
#include "simulator.h"

#define STEP(...)                                                             \
  do {                                                                        \
    if (const vram_status step = (__VA_ARGS__); step != VRAM_OK) return step; \
  } while (false)

namespace test {

vram_status FaultScenario::run_steps() {
  constexpr uint64_t kBytes = kPartBytes + 5;
  constexpr uint64_t kGroups = kPartBytes / VRAM_GROUP_BYTES + 1;
  static const std::vector<uint8_t> data = content(kBytes);
  static uint8_t scratch[100];
  static uint8_t hashes[kGroups * VRAM_DIGEST_BYTES];

  const vram_options options = default_options();
  STEP(vram_open(&options, &driver_));
  STEP(vram_open_device(driver_, 0));
  STEP(vram_open_device(driver_, 1));
  vram_device_info info = {};
  STEP(vram_device_get_info(driver_, 0, &info));
  STEP(vram_alloc(driver_, 0, kBytes, &allocation_));
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
  vram_load_result result = {};
  STEP(vram_load_finish(load_, &result));
  STEP(vram_load_close(load_));
  load_ = 0;

  STEP(vram_seal(allocation_));
  vram_residency residency = {};
  STEP(vram_attest(allocation_, &residency));
  STEP(vram_digest(allocation_, 0, kBytes, hashes, sizeof(hashes)));
  uint8_t digest[VRAM_DIGEST_BYTES];
  STEP(vram_tree_digest(hashes, kGroups, kBytes, digest));
  return std::memcmp(digest, result.tree, sizeof(digest)) == 0 ? VRAM_OK : VRAM_INTERNAL;
}

vram_status FaultScenario::release() {
  vram_status first = VRAM_OK;
  const auto keep_first = [&](vram_status status) { first = first != VRAM_OK ? first : status; };
  if (load_ != 0) keep_first(vram_load_close(load_));
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
