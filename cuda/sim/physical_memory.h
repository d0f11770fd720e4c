/** A device's memory: one file, in granules, of which extents are taken and given back. */
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "../include/cuda_driver.h"

namespace cuda_sim {

constexpr uint64_t kGranuleBytes = 2 * 1024 * 1024;

inline bool is_whole_granules(uint64_t bytes) {
  return bytes != 0 && bytes % kGranuleBytes == 0;
}

/** A run of granules in the file. */
struct Extent {
  uint64_t offset;
  uint64_t bytes;
};

class PhysicalMemory {
 public:
  /**
   * Makes device `ordinal`'s memory: anonymous shared memory, or DIR/gpuN-memory.vram where a directory is named; that
   * file is emptied, and locked against a second simulator. Null, and a line in out_error, where it can't be made.
   */
  static std::unique_ptr<PhysicalMemory> open(int ordinal, uint64_t capacity_bytes, const std::string &directory,
                                              std::string *out_error);
  ~PhysicalMemory();
  PhysicalMemory(const PhysicalMemory &) = delete;
  PhysicalMemory &operator=(const PhysicalMemory &) = delete;

  /**
   * Takes whole granules: what was given back last first, then fresh ones. Nothing is cleared. The extents come in the
   * file's order, neighbours joined. CUDA_ERROR_OUT_OF_MEMORY past the capacity, or where the file can't grow.
   */
  CUresult take(uint64_t bytes, std::vector<Extent> *out_extents);
  void give_back(const std::vector<Extent> &extents);

  int file() const { return file_; }
  /** All of it, as the device's own engines see it: at a place of the file, no address of any context. */
  uint8_t *view() const { return view_; }
  uint64_t capacity_bytes() const { return capacity_bytes_; }
  uint64_t free_bytes() const;

  /** False when somebody has cut the file short: to touch its mappings would be a SIGBUS. */
  bool is_whole() const;

 private:
  PhysicalMemory(int file, bool on_disk, uint64_t capacity_bytes, uint8_t *view)
      : file_(file), on_disk_(on_disk), capacity_bytes_(capacity_bytes), view_(view) {}
  bool grow(uint64_t bytes);

  const int file_;
  const bool on_disk_;
  const uint64_t capacity_bytes_;
  uint8_t *const view_;
  mutable std::mutex mutex_;
  uint64_t file_bytes_ = 0;
  uint64_t taken_bytes_ = 0;
  std::vector<Extent> free_; /* a stack: the last one was given back last */
};

}  // namespace cuda_sim
