/** The file that a shard is repaired from. Each group is checked against its expected hash. */
#pragma once

#include <memory>

#include "file.h"
#include "tree.h"

namespace vram {

/** VRAM_FILE_DIFFERS if a group does not have the hash. `one_block`: the shard has at most one block. */
vram_status check_group(const uint8_t *group, uint64_t bytes, bool one_block, const uint8_t *hash);

class RepairSource {
 public:
  /** Reads the range that ends at `end`. `one_block`: the shard has at most one block. */
  RepairSource(File &file, uint64_t end, bool one_block)
      : file_(file), end_(end), one_block_(one_block), group_(new uint8_t[kGroupBytes]) {}

  /**
   * Reads the group at `offset`, `bytes` long, and compares its hash. *out_ready is false if the file system has not
   * delivered it by `deadline`. Fails as File::read does, and with VRAM_FILE_DIFFERS if the hash is another one.
   */
  vram_status read(uint64_t offset, uint64_t bytes, const uint8_t *hash, File::Clock::time_point deadline,
                   bool *out_ready);

  /** The bytes of the last read(). */
  const uint8_t *group() const { return group_.get(); }

 private:
  File &file_;
  const uint64_t end_;
  const bool one_block_;
  const std::unique_ptr<uint8_t[]> group_;
};

}  // namespace vram
