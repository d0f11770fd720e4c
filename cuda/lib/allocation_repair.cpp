/** The repair of sealed memory: see allocation.h. */
#include <algorithm>

#include "allocation.h"
#include "repair_source.h"
#include "tree.h"

namespace vram {

vram_status Allocation::repair(File &file, const vram_file_range &range, const uint8_t *hashes, uint64_t hashes_bytes,
                               uint64_t *out_repaired) {
  if (range.wait_ms > INT32_MAX) return VRAM_OUT_OF_BOUNDS;
  VRAM_TRY(check_repair(range.offset, range.bytes, hashes_bytes));
  const auto deadline = File::Clock::now() + std::chrono::milliseconds(range.wait_ms);
  RepairSource source(file, range.offset + range.bytes, bytes_ <= kBlockBytes);
  uint64_t done = 0;
  while (done < range.bytes) {
    const uint64_t piece = std::min(range.bytes - done, kGroupBytes);
    const uint8_t *const hash = hashes + done / kGroupBytes * kDigestBytes;
    bool ready = false;
    // A read can take long, so no lock is held during it.
    VRAM_TRY(source.read(range.offset + done, piece, hash, deadline, &ready));
    if (!ready) break;
    VRAM_TRY(rewrite(range.offset + done, piece, source.group()));
    done += piece;
  }
  *out_repaired = done;
  return VRAM_OK;
}

vram_status Allocation::repair_bytes(uint64_t offset, const uint8_t *data, uint64_t bytes, const uint8_t *hashes,
                                     uint64_t hashes_bytes) {
  VRAM_TRY(check_repair(offset, bytes, hashes_bytes));
  for (uint64_t done = 0; done < bytes; done += kGroupBytes) {
    const uint64_t piece = std::min(bytes - done, kGroupBytes);
    VRAM_TRY(check_group(data + done, piece, bytes_ <= kBlockBytes, hashes + done / kGroupBytes * kDigestBytes));
    VRAM_TRY(rewrite(offset + done, piece, data + done));
  }
  return VRAM_OK;
}

vram_status Allocation::check_repair(uint64_t offset, uint64_t bytes, uint64_t hashes_bytes) {
  const SharedLock shared(mutex_);
  VRAM_TRY(check_live());
  VRAM_TRY(check_digest(offset, bytes, hashes_bytes));
  return is_sealed() ? VRAM_OK : VRAM_NOT_SEALED;
}

/** Writes one group of sealed memory, and seals the memory again. */
vram_status Allocation::rewrite(uint64_t offset, uint64_t bytes, const uint8_t *group) {
  const ExclusiveLock exclusive(mutex_);
  VRAM_TRY(check_live());
  if (!is_sealed()) return VRAM_NOT_SEALED;
  VRAM_TRY(device_.bind());
  vram_status status = unprotect();
  if (status == VRAM_OK) {
    const std::lock_guard<std::mutex> lock(device_.staged_stream().mutex());
    status = device_.staged_stream().copy_in(mapping_.address() + offset, group, bytes);
    if (status != VRAM_OK) write_failed_ = true;
  }
  return first_failure(status, protect(mapping_.bytes()));
}

}  // namespace vram
