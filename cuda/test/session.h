/** An open driver for one test, with the operations that most tests need. */
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "../include/vram.h"

namespace test {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr uint32_t kSlots = 8;
constexpr uint64_t kPartBytes = 2 * kMiB;

/** Paths of the driver and the kernels under test: VRAM_TEST_DRIVER, VRAM_TEST_KERNELS, or the simulator's. */
std::string driver_path();
std::string kernels_path();

/** Flags for vram_alloc(): VRAM_ALLOC_EXPORTABLE if VRAM_TEST_EXPORTABLE is set, else 0. */
uint32_t alloc_flags();

/** Options for the driver under test: kSlots staging slots, parts of kPartBytes, allocations of up to 100 GiB. */
vram_options default_options();

/** Opens a driver and all its devices. Ends the test if it fails. */
uint64_t open_all_devices(const vram_options &options);

class Session {
 public:
  Session();   // ends the test if the driver cannot be opened
  ~Session();  // fails the test if the driver cannot be closed
  Session(const Session &) = delete;
  Session &operator=(const Session &) = delete;

  uint64_t driver() const { return driver_; }
  uint32_t device_count() const;
  vram_device_info info(uint32_t device) const;
  uint8_t *slot(uint32_t index) const { return staging_ + uint64_t{index} * VRAM_STAGING_SLOT_BYTES; }

  /** Each ends the test if it fails. */
  uint64_t alloc(uint32_t device, uint64_t bytes, uint32_t flags = alloc_flags()) const;
  uint64_t open_load(uint64_t allocation, uint32_t flags = VRAM_LOAD_FLAT | VRAM_LOAD_TREE) const;
  void push_all(uint64_t load, const std::vector<uint8_t> &data, uint64_t piece_bytes, uint32_t slot) const;
  /** Allocates, loads, finishes, closes the load. */
  uint64_t load(uint32_t device, const std::vector<uint8_t> &data, vram_load_result *out_result) const;
  /** Allocates exportable memory, writes the data and seals it. */
  uint64_t seal_exportable(uint32_t device, const std::vector<uint8_t> &data) const;
  std::vector<uint8_t> read(uint64_t allocation, uint64_t offset, uint64_t bytes) const;

 private:
  uint64_t driver_ = 0;
  uint8_t *staging_ = nullptr;
};

/** The fs-verity digest of an allocation, computed on the device, as hex. Ends the test if it fails. */
std::string device_tree_digest(uint64_t allocation);

}  // namespace test
