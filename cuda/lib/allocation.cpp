/**
 * The driver calls in the life of an allocation, in order. Each needs the ones before it.
 *
 *   cuMemCreate          one per part: reserves physical memory of the device, without an address
 *   cuMemAddressReserve  one range of addresses for all parts; nothing is mapped there yet
 *   cuMemMap             one per part: the addresses now lead to the memory, but no device may access them
 *   cuMemSetAccess       READWRITE for the one device. From here on copies and kernels can use the memory.
 *   cuMemSetAccess       READ: the seal
 *
 * free() does the reverse. Memory must be writable to be wiped, and wiped before it is unmapped, since it has no
 * address after that. cuMemUnmap comes before cuMemAddressFree, which takes an unmapped range. cuMemRelease is last:
 * before cuMemUnmap it would only drop a reference, and the memory would stay allocated.
 *
 *   cuMemSetAccess, cuMemsetD8Async, cuMemUnmap, cuMemAddressFree, cuMemRelease
 *
 * adopt() imports the parts (cuMemImportFromShareableHandle) instead of creating them, and goes to READ at once.
 * leave() is free() without the wipe.
 *
 * If a step of create() or adopt() fails, its caller calls free(), which undoes the steps that succeeded, in reverse
 * order and without a wipe. If a step of free() fails, the object remembers how far it came, and the next free()
 * continues there.
 *
 * Copies and kernels that may still run are waited for before access is taken away (seal) and before the memory is
 * unmapped (free). A kernel's access to unmapped memory, or a write to read-only memory, destroys the context.
 */
#include "allocation.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "residency.h"
#include "tree.h"

namespace vram {
namespace {

// attest() makes several driver calls per part, so the number of parts is limited.
constexpr uint64_t kMaxParts = VRAM_MAX_PARTS;

// A wipe covers whole pages of this size.
constexpr uint64_t kWipeBytes = 4096;

}  // namespace

Allocation::Allocation(std::shared_ptr<Driver> driver, Device &device, uint64_t bytes, bool exportable)
    : driver_(std::move(driver)),
      device_(device),
      bytes_(bytes),
      exportable_(exportable),
      memory_(driver_->table()),
      mapping_(driver_->table()) {}

Allocation::~Allocation() {
  if (memory_.is_owned()) (void)device_.bind();
}

/** The size that the device provides: `bytes_`, rounded up to the granularity. */
vram_status Allocation::measure(uint64_t *out_mapped_bytes) const {
  if (bytes_ > driver_->max_allocation_bytes()) return VRAM_TOO_LARGE;
  const uint64_t granularity = device_.granularity_bytes();
  const uint64_t granules = bytes_ / granularity + (bytes_ % granularity != 0);
  return __builtin_mul_overflow(granules, granularity, out_mapped_bytes) ? VRAM_OVERFLOW : VRAM_OK;
}

vram_status Allocation::create() {
  uint64_t mapped_bytes = 0;
  VRAM_TRY(measure(&mapped_bytes));
  const uint64_t even_share = round_up(mapped_bytes / kMaxParts + 1, driver_->part_bytes());
  part_bytes_ = round_up(std::min(even_share, mapped_bytes), device_.granularity_bytes());
  VRAM_TRY(device_.bind());
  if (exportable_) VRAM_TRY(device_.require_export());
  return opened(create_mapped({device_.ordinal(), mapped_bytes, part_bytes_, exportable_}, memory_, mapping_));
}

vram_status Allocation::adopt(uint64_t part_bytes, const std::vector<int> &descriptors) {
  uint64_t mapped_bytes = 0;
  VRAM_TRY(measure(&mapped_bytes));
  if (part_bytes % device_.granularity_bytes() != 0 || part_bytes % kGroupBytes != 0) return VRAM_UNALIGNED;
  const uint64_t parts = mapped_bytes / part_bytes + (mapped_bytes % part_bytes != 0);
  if (descriptors.size() != parts || parts > kMaxParts) return VRAM_OUT_OF_BOUNDS;
  part_bytes_ = std::min(part_bytes, mapped_bytes);
  VRAM_TRY(device_.bind());
  const vram_status imported = memory_.import({device_.ordinal(), mapped_bytes, part_bytes_}, descriptors);
  VRAM_TRY(opened(imported));
  VRAM_TRY(opened(mapping_.create(device_.ordinal(), memory_, CU_MEM_ACCESS_FLAGS_PROT_READ)));
  sealed_bytes_ = bytes_;
  exported_ = true;
  return VRAM_OK;
}

/** After a failure the memory only needs to be released. Nothing was written to it. */
vram_status Allocation::opened(vram_status status) {
  if (status == VRAM_OK) return VRAM_OK;
  orphan_ = true;
  stage_ = Stage::kReleasing;
  return status;
}

vram_status Allocation::get_info(vram_allocation_info *out_info) {
  const SharedLock shared(mutex_);
  VRAM_TRY(check_live());
  *out_info = {};
  out_info->bytes = bytes_;
  out_info->mapped_bytes = mapping_.bytes();
  out_info->part_bytes = part_bytes_;
  out_info->alignment_bytes = mapping_.address() & (~mapping_.address() + 1);
  out_info->device = static_cast<uint32_t>(device_.ordinal());
  out_info->sealed = is_sealed() ? 1 : 0;
  out_info->exportable = exportable_ ? 1 : 0;
  out_info->exported = exported_ ? 1 : 0;
  return VRAM_OK;
}

vram_status Allocation::check_range(uint64_t offset, uint64_t bytes) const {
  uint64_t end = 0;
  if (__builtin_add_overflow(offset, bytes, &end)) return VRAM_OVERFLOW;
  return end <= bytes_ ? VRAM_OK : VRAM_OUT_OF_BOUNDS;
}

/** A load seals from the start of the memory, so a range starts in sealed memory if its offset does. */
vram_status Allocation::check_not_sealed(uint64_t offset) const {
  return is_sealed() || offset < sealed_bytes_ ? VRAM_SEALED : VRAM_OK;
}

vram_status Allocation::write(uint64_t offset, const uint8_t *source, uint64_t bytes) {
  const SharedLock shared(mutex_);
  VRAM_TRY(check_live());
  VRAM_TRY(check_range(offset, bytes));
  VRAM_TRY(check_not_sealed(offset));
  VRAM_TRY(device_.bind());
  const std::lock_guard<std::mutex> lock(device_.staged_stream().mutex());
  VRAM_TRY(check_not_sealed(offset));  // a load may have sealed it before the mutex was acquired
  const vram_status status = device_.staged_stream().copy_in(mapping_.address() + offset, source, bytes);
  if (status != VRAM_OK) write_failed_ = true;
  return status;
}

vram_status Allocation::read(uint64_t offset, uint8_t *destination, uint64_t bytes) {
  const SharedLock shared(mutex_);
  VRAM_TRY(check_live());
  VRAM_TRY(check_range(offset, bytes));
  VRAM_TRY(check_not_sealed(offset));
  VRAM_TRY(device_.bind());
  const std::lock_guard<std::mutex> lock(device_.staged_stream().mutex());
  VRAM_TRY(check_not_sealed(offset));
  return device_.staged_stream().copy_out(destination, mapping_.address() + offset, bytes);
}

vram_status Allocation::seal() {
  const ExclusiveLock exclusive(mutex_);
  VRAM_TRY(check_live());
  if (loading_) return VRAM_BUSY;
  if (is_sealed()) return VRAM_SEALED;
  VRAM_TRY(device_.bind());
  return protect(mapping_.bytes());
}

vram_status Allocation::seal_filled(uint64_t filled_bytes, uint64_t *out_sealed_bytes) {
  const SharedLock shared(mutex_);
  VRAM_TRY(check_live());
  const uint64_t until_bytes = std::min(filled_bytes, bytes_ - 1) / part_bytes_ * part_bytes_;
  if (until_bytes > sealed_bytes_) {
    VRAM_TRY(device_.bind());
    VRAM_TRY(protect(until_bytes));
  }
  *out_sealed_bytes = sealed_bytes_;
  return VRAM_OK;
}

/** Makes the memory read-only up to the end of a part. First waits for a copy that a failed call could not wait for. */
vram_status Allocation::protect(uint64_t until_bytes) {
  const std::lock_guard<std::mutex> lock(device_.staged_stream().mutex());
  if (write_failed_) VRAM_TRY(device_.staged_stream().synchronize());
  write_failed_ = false;
  VRAM_TRY(mapping_.set_access(sealed_bytes_, until_bytes - sealed_bytes_, CU_MEM_ACCESS_FLAGS_PROT_READ));
  sealed_bytes_ = std::min(until_bytes, bytes_);
  return VRAM_OK;
}

/** Clears sealed_bytes_ before the driver call, so that memory is never reported as sealed while it may be writable. */
vram_status Allocation::unprotect() {
  sealed_bytes_ = 0;
  return mapping_.set_access(CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
}

vram_status Allocation::attest(vram_residency *out_residency) {
  const SharedLock shared(mutex_);
  VRAM_TRY(check_live());
  VRAM_TRY(device_.bind());
  const uint64_t sealed_bytes = sealed_bytes_;
  const int device_count = static_cast<int>(driver_->device_count());
  uint32_t violations = 0;
  for (uint64_t offset = 0; offset < bytes_; offset += part_bytes_) {
    const CUmemAccess_flags access =
        offset < sealed_bytes ? CU_MEM_ACCESS_FLAGS_PROT_READ : CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    const ExpectedResidency expected = {mapping_.address() + offset, part_length(bytes_, part_bytes_, offset),
                                        device_.ordinal(), device_count, access};
    uint32_t found = 0;
    VRAM_TRY(inspect_residency(driver_->table(), expected, memory_, &found));
    violations |= found;
  }
  *out_residency = {violations, sealed_bytes == bytes_ ? 1u : 0u};
  return violations == 0 ? VRAM_OK : VRAM_POLICY_VIOLATION;
}

vram_status Allocation::check_digest(uint64_t offset, uint64_t bytes, uint64_t out_bytes) const {
  if (bytes == 0) return VRAM_ZERO_LENGTH;
  VRAM_TRY(check_range(offset, bytes));
  const uint64_t end = offset + bytes;
  if (offset % kGroupBytes != 0 || (end % kGroupBytes != 0 && end != bytes_)) return VRAM_UNALIGNED;
  return out_bytes / kDigestBytes >= group_count(bytes) ? VRAM_OK : VRAM_BUFFER_TOO_SMALL;
}

vram_status Allocation::digest(uint64_t offset, uint64_t bytes, uint8_t *out_hashes, uint64_t out_bytes) {
  const SharedLock shared(mutex_);
  VRAM_TRY(check_live());
  VRAM_TRY(check_digest(offset, bytes, out_bytes));
  VRAM_TRY(device_.bind());
  // The caller's buffer is written only after all hashes are known.
  std::vector<uint8_t> hashes(group_count(bytes) * kDigestBytes);
  const bool one_block = bytes_ <= kBlockBytes;
  const vram_status status = device_.hasher().digest(mapping_.address() + offset, bytes, one_block, hashes.data());
  if (status != VRAM_OK) digest_failed_ = true;
  VRAM_TRY(status);
  std::memcpy(out_hashes, hashes.data(), hashes.size());
  return VRAM_OK;
}

vram_status Allocation::prove(vram_residency *out_residency, uint8_t *out_hashes, uint64_t out_bytes) {
  VRAM_TRY(seal());
  VRAM_TRY(attest(out_residency));
  return digest(0, bytes_, out_hashes, out_bytes);
}

vram_status Allocation::hand_over(int socket, const void *frame, uint64_t bytes, uint64_t *out_sent) {
  if (bytes == 0) return VRAM_ZERO_LENGTH;
  const SharedLock shared(mutex_);
  VRAM_TRY(check_live());
  if (!is_sealed()) return VRAM_NOT_SEALED;
  if (!exportable_) return VRAM_NOT_EXPORTABLE;
  VRAM_TRY(device_.bind());
  Descriptors descriptors;
  VRAM_TRY(memory_.export_parts(descriptors));
  VRAM_TRY(send_with_descriptors(socket, frame, bytes, descriptors.numbers(), out_sent));
  exported_ = true;
  return VRAM_OK;
}

vram_status Allocation::begin_load() {
  const ExclusiveLock exclusive(mutex_, std::try_to_lock);
  if (!exclusive.owns_lock()) return VRAM_BUSY;
  VRAM_TRY(check_live());
  if (is_sealed()) return VRAM_SEALED;
  if (loading_) return VRAM_BUSY;
  loading_ = true;
  return VRAM_OK;
}

void Allocation::end_load() {
  const ExclusiveLock exclusive(mutex_);
  loading_ = false;
}

vram_status Allocation::free() {
  const ExclusiveLock exclusive(mutex_);
  if (loading_) return VRAM_BUSY;
  if (!memory_.is_owned()) return VRAM_OK;
  VRAM_TRY(device_.bind());
  VRAM_TRY(wait_until_unused());
  if (stage_ != Stage::kReleasing) VRAM_TRY(wipe());
  return release();
}

vram_status Allocation::leave() {
  const ExclusiveLock exclusive(mutex_);
  if (loading_) return VRAM_BUSY;
  if (!memory_.is_owned()) return VRAM_OK;
  if (stage_ == Stage::kWiping) return VRAM_STALE_HANDLE;
  if (!exported_) return VRAM_NOT_EXPORTED;
  VRAM_TRY(device_.bind());
  VRAM_TRY(wait_until_unused());
  stage_ = Stage::kReleasing;
  return release();
}

/** Waits for a kernel or a copy that a failed call could not wait for. */
vram_status Allocation::wait_until_unused() {
  if (digest_failed_) VRAM_TRY(device_.hasher().synchronize());
  digest_failed_ = false;
  const std::lock_guard<std::mutex> lock(device_.staged_stream().mutex());
  if (write_failed_) VRAM_TRY(device_.staged_stream().synchronize());
  write_failed_ = false;
  return VRAM_OK;
}

vram_status Allocation::release() {
  VRAM_TRY(mapping_.release());
  return memory_.release();
}

vram_status Allocation::wipe() {
  stage_ = Stage::kWiping;  // before the driver call, so that memory that may be writable is not used as sealed memory
  VRAM_TRY(mapping_.set_access(CU_MEM_ACCESS_FLAGS_PROT_READWRITE));
  const std::lock_guard<std::mutex> lock(device_.staged_stream().mutex());
  // Loads, vram_write() and vram_repair() write only the first bytes_ bytes, and kernels write elsewhere. Processes
  // that have exported memory can write all of it.
  const uint64_t used_bytes = std::min(round_up(bytes_, kWipeBytes), mapping_.bytes());
  const uint64_t written_bytes = exported_ ? mapping_.bytes() : used_bytes;
  VRAM_TRY(device_.staged_stream().fill_with_zeros(mapping_.address(), written_bytes));
  stage_ = Stage::kReleasing;
  return VRAM_OK;
}

}  // namespace vram
