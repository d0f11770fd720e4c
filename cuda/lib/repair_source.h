/** The file that a shard was loaded from, read once more for what the shard has lost. */
#pragma once

#include <memory>

#include "tree.h"

namespace vram {

class RepairSource {
 public:
  /** `one_block`: the shard is no longer than a block. The descriptor stays the caller's. */
  RepairSource(int file, bool one_block) : file_(file), one_block_(one_block), group_(new uint8_t[kGroupBytes]) {}

  /**
   * Reads the group at `offset`, `bytes` long, and holds it against its hash. VRAM_FILE_TOO_SHORT, VRAM_FILE_ERROR
   * where it can't be read, VRAM_FILE_DIFFERS where it is not the group that belongs there.
   */
  vram_status read(uint64_t offset, uint64_t bytes, const uint8_t *hash);

  /** The group that was read last. */
  const uint8_t *group() const { return group_.get(); }

 private:
  const int file_;
  const bool one_block_;
  const std::unique_ptr<uint8_t[]> group_;
};

}  // namespace vram
