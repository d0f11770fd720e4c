/**
 * The memory of a device: one file, allocated in extents of whole granules. Exportable memory has files of its own, and
 * is only counted here.
 */
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

/** Contiguous granules of the file. */
struct Extent {
  uint64_t offset;
  uint64_t bytes;
};

class PhysicalMemory {
 public:
  /**
   * Creates the memory of device `index`: the file gpuN-memory.vram in `directory`, or anonymous shared memory if
   * `directory` is empty. Locks the file against other simulators, and truncates it. On failure, returns null and sets
   * `out_error`.
   */
  static std::unique_ptr<PhysicalMemory> open(int index, uint64_t capacity_bytes, const std::string &directory,
                                              std::string *out_error);
  ~PhysicalMemory();
  PhysicalMemory(const PhysicalMemory &) = delete;
  PhysicalMemory &operator=(const PhysicalMemory &) = delete;

  /**
   * Allocates whole granules: the most recently released ones first, then new ones. Does not clear them. Writes the
   * extents in file order, with adjacent ones merged. CUDA_ERROR_OUT_OF_MEMORY if the capacity is too small or the file
   * cannot grow.
   */
  CUresult allocate(uint64_t bytes, std::vector<Extent> *out_extents);
  void release(const std::vector<Extent> &extents);

  /** Counts memory in a file of its own as allocated. False if the capacity is too small. */
  bool charge(uint64_t bytes);
  /** The same for memory that another process allocated. It exists already, so the capacity does not matter. */
  void charge_imported(uint64_t bytes);
  void discharge(uint64_t bytes);

  int file() const { return file_; }
  /** The linear view: the whole file, mapped at one host address that is not a device address. */
  uint8_t *view() const { return view_; }
  uint64_t capacity_bytes() const { return capacity_bytes_; }
  uint64_t free_bytes() const;
  /** The directory of the files; empty if the memory is anonymous. */
  const std::string &directory() const { return directory_; }

  /** False if another process has truncated the file. Access to its mappings would then raise SIGBUS. */
  bool is_intact() const;

 private:
  PhysicalMemory(int file, const std::string &directory, uint64_t capacity_bytes, uint8_t *view)
      : file_(file), directory_(directory), capacity_bytes_(capacity_bytes), view_(view) {}
  bool grow(uint64_t bytes);
  bool is_on_disk() const { return !directory_.empty(); }
  /** Requires the lock. */
  uint64_t available_bytes() const;

  const int file_;
  const std::string directory_;
  const uint64_t capacity_bytes_;
  uint8_t *const view_;
  mutable std::mutex mutex_;
  uint64_t file_bytes_ = 0;
  uint64_t allocated_bytes_ = 0; /* in this file */
  uint64_t charged_bytes_ = 0;   /* in files of their own */
  std::vector<Extent> free_;     /* a stack, with the most recently released extent last */
};

}  // namespace cuda_sim
