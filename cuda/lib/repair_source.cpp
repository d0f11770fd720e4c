#include "repair_source.h"

#include <cstring>

#include "source.h"
#include "status.h"

namespace vram {

vram_status RepairSource::read(uint64_t offset, uint64_t bytes, const uint8_t *hash) {
  uint64_t got = 0;
  VRAM_TRY(FileSource(file_, offset).read(group_.get(), bytes, &got));
  uint8_t found[kDigestBytes];
  hash_group(group_.get(), bytes, one_block_, found);
  return std::memcmp(found, hash, sizeof(found)) == 0 ? VRAM_OK : VRAM_FILE_DIFFERS;
}

}  // namespace vram
