/** The file that a shard is repaired from. Each group is checked against its expected hash. */
#pragma once

#include <memory>

#include "tree.h"

namespace vram {

class RepairSource {
 public:
  /** `one_block`: the shard has at most one block. The caller keeps the descriptor. */
  RepairSource(int file, bool one_block) : file_(file), one_block_(one_block), group_(new uint8_t[kGroupBytes]) {}

  /**
   * Reads the group at `offset`, `bytes` long, and compares its hash. VRAM_FILE_TOO_SHORT, VRAM_FILE_ERROR, or
   * VRAM_FILE_DIFFERS if the hash is another one.
   */
  vram_status read(uint64_t offset, uint64_t bytes, const uint8_t *hash);

  /** The bytes of the last read(). */
  const uint8_t *group() const { return group_.get(); }

 private:
  const int file_;
  const bool one_block_;
  const std::unique_ptr<uint8_t[]> group_;
};

}  // namespace vram
