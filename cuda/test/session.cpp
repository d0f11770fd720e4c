#include "session.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "content.h"
#include "harness.h"
#include "process.h"

namespace test {
namespace {

std::string setting(const char *name, const std::string &fallback) {
  const char *value = std::getenv(name);
  return value != nullptr ? value : fallback;
}

}  // namespace

std::string driver_path() {
  return setting("VRAM_TEST_DRIVER", next_to_program("libcuda_sim.so"));
}
std::string kernels_path() {
  return setting("VRAM_TEST_KERNELS", next_to_program("vram_kernels.sim"));
}

uint32_t alloc_flags() {
  return std::getenv("VRAM_TEST_EXPORTABLE") != nullptr ? VRAM_ALLOC_EXPORTABLE : 0;
}

vram_options default_options() {
  static const std::string driver = driver_path(), kernels = kernels_path();
  return {driver.c_str(), kernels.c_str(), 100 * kGiB, kPartBytes, kSlots, 0};
}

uint64_t open_all_devices(const vram_options &options) {
  uint64_t driver = 0;
  REQUIRE_OK(vram_open(&options, &driver));
  uint32_t count = 0;
  REQUIRE_OK(vram_device_count(driver, &count));
  for (uint32_t device = 0; device < count; ++device) REQUIRE_OK(vram_open_device(driver, device));
  return driver;
}

Session::Session() : driver_(open_all_devices(default_options())) {
  void *base = nullptr;
  uint32_t slots = 0;
  REQUIRE_OK(vram_staging(driver_, &base, &slots));
  REQUIRE(slots == kSlots);
  staging_ = static_cast<uint8_t *>(base);
}

Session::~Session() {
  CHECK_STATUS(VRAM_OK, vram_close(driver_));
}

uint32_t Session::device_count() const {
  uint32_t count = 0;
  REQUIRE_OK(vram_device_count(driver_, &count));
  return count;
}

vram_device_info Session::info(uint32_t device) const {
  vram_device_info info = {};
  REQUIRE_OK(vram_device_get_info(driver_, device, &info));
  return info;
}

uint64_t Session::alloc(uint32_t device, uint64_t bytes, uint32_t flags) const {
  uint64_t allocation = 0;
  REQUIRE_OK(vram_alloc(driver_, device, bytes, flags, &allocation));
  return allocation;
}

uint64_t Session::open_load(uint64_t allocation, uint32_t flags) const {
  uint64_t load = 0;
  REQUIRE_OK(vram_load_open(allocation, flags, &load));
  return load;
}

void Session::push_all(uint64_t load, const std::vector<uint8_t> &data, uint64_t piece_bytes,
                       uint32_t slot_index) const {
  for (uint64_t done = 0; done < data.size();) {
    const uint64_t bytes = std::min<uint64_t>(data.size() - done, piece_bytes);
    std::memcpy(slot(slot_index), data.data() + done, bytes);
    REQUIRE_OK(vram_load_push(load, slot_index, bytes));
    done += bytes;
  }
}

uint64_t Session::load(uint32_t device, const std::vector<uint8_t> &data, vram_load_result *out_result) const {
  const uint64_t allocation = alloc(device, data.size());
  const uint64_t load = open_load(allocation);
  push_all(load, data, VRAM_STAGING_SLOT_BYTES, 0);
  REQUIRE_OK(vram_load_finish(load, out_result));
  REQUIRE_OK(vram_load_close(load));
  return allocation;
}

uint64_t Session::seal_exportable(uint32_t device, const std::vector<uint8_t> &data) const {
  if (info(device).export_status != VRAM_OK) SKIP("needs a device that can export memory");
  const uint64_t allocation = alloc(device, data.size(), VRAM_ALLOC_EXPORTABLE);
  REQUIRE_OK(vram_write(allocation, 0, data.data(), data.size()));
  REQUIRE_OK(vram_seal(allocation));
  return allocation;
}

std::vector<uint8_t> Session::read(uint64_t allocation, uint64_t offset, uint64_t bytes) const {
  std::vector<uint8_t> data(std::max<uint64_t>(bytes, 1));
  REQUIRE_OK(vram_read(allocation, offset, data.data(), bytes));
  data.resize(bytes);
  return data;
}

std::string device_tree_digest(uint64_t allocation) {
  vram_allocation_info info = {};
  REQUIRE_OK(vram_allocation_get_info(allocation, &info));
  const uint64_t groups = (info.bytes + VRAM_GROUP_BYTES - 1) / VRAM_GROUP_BYTES;
  std::vector<uint8_t> hashes(groups * VRAM_DIGEST_BYTES);
  REQUIRE_OK(vram_digest(allocation, 0, info.bytes, hashes.data(), hashes.size()));
  uint8_t digest[VRAM_DIGEST_BYTES];
  REQUIRE_OK(vram_tree_digest(hashes.data(), groups, info.bytes, digest));
  return hex(digest, sizeof(digest));
}

}  // namespace test
