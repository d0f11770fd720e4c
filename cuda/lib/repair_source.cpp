#include "repair_source.h"

#include <cstring>

#include "status.h"

namespace vram {

vram_status check_group(const uint8_t *group, uint64_t bytes, bool one_block, const uint8_t *hash) {
  uint8_t found[kDigestBytes];
  hash_group(group, bytes, one_block, found);
  return std::memcmp(found, hash, sizeof(found)) == 0 ? VRAM_OK : VRAM_FILE_DIFFERS;
}

vram_status RepairSource::read(uint64_t offset, uint64_t bytes, const uint8_t *hash, File::Clock::time_point deadline,
                               bool *out_ready) {
  uint64_t got = 0;
  VRAM_TRY(file_.read(offset, end_, group_.get(), bytes, deadline, &got));
  *out_ready = got == bytes;
  return *out_ready ? check_group(group_.get(), bytes, one_block_, hash) : VRAM_OK;
}

}  // namespace vram
