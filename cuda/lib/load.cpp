#include "load.h"

#include "guarded.h"
#include "read_ahead.h"

namespace vram {

Load::Load(std::shared_ptr<Driver> driver, uint64_t bytes, uint32_t flags)
    : driver_(std::move(driver)), bytes_(bytes), flags_(flags), copy_stream_(driver_->table()) {}

Load::Load(std::shared_ptr<Allocation> allocation, uint32_t flags)
    : driver_(allocation->shared_driver()),
      allocation_(std::move(allocation)),
      bytes_(allocation_->bytes()),
      flags_(flags),
      closed_(true),
      copy_stream_(driver_->table()) {}

Load::~Load() {
  (void)close();
}

vram_status Load::open() {
  if (allocation_ == nullptr) return VRAM_OK;
  VRAM_TRY(allocation_->begin_load());
  closed_ = false;
  holds_allocation_ = true;
  VRAM_TRY(allocation_->device().bind());
  return copy_stream_.create();
}

vram_status Load::acquire(Lock *out_lock) {
  *out_lock = Lock(mutex_, std::try_to_lock);
  if (!out_lock->owns_lock()) return VRAM_BUSY;
  return closed_ ? VRAM_STALE_HANDLE : failure_;
}

vram_status Load::check_overrun(uint64_t bytes) const {
  return bytes <= bytes_ - received_bytes_ ? VRAM_OK : VRAM_LOAD_OVERRUN;
}

vram_status Load::check_slots(const std::vector<uint32_t> &slots) const {
  std::vector<bool> named(driver_->slot_count());
  for (const uint32_t slot : slots) {
    if (slot >= named.size() || named[slot]) return VRAM_OUT_OF_BOUNDS;
    named[slot] = true;
  }
  return VRAM_OK;
}

vram_status Load::push(uint32_t slot, uint64_t bytes) {
  if (bytes == 0) return VRAM_ZERO_LENGTH;
  if (slot >= driver_->slot_count() || bytes > VRAM_STAGING_SLOT_BYTES) return VRAM_OUT_OF_BOUNDS;
  Lock lock;
  VRAM_TRY(acquire(&lock));
  VRAM_TRY(check_overrun(bytes));
  return failure_ = append(driver_->slot(slot), bytes);
}

vram_status Load::load_file(File &file, const vram_file_range &range, const std::vector<uint32_t> &slots,
                            uint64_t *out_received) {
  if (range.bytes == 0 || slots.empty()) return VRAM_ZERO_LENGTH;
  if (range.wait_ms > INT32_MAX) return VRAM_OUT_OF_BOUNDS;
  uint64_t file_end = 0;
  if (__builtin_add_overflow(range.offset, range.bytes, &file_end)) return VRAM_OVERFLOW;
  FileSource source(file, range.offset, file_end, range.wait_ms);
  return load_from(source, range.bytes, slots, out_received);
}

vram_status Load::load_socket(int socket, uint64_t bytes, uint32_t wait_ms, const std::vector<uint32_t> &slots,
                              uint64_t *out_received) {
  if (bytes == 0 || slots.empty()) return VRAM_ZERO_LENGTH;
  if (wait_ms > INT32_MAX) return VRAM_OUT_OF_BOUNDS;
  SocketSource source(socket, wait_ms);
  return load_from(source, bytes, slots, out_received);
}

vram_status Load::load_from(Source &source, uint64_t bytes, const std::vector<uint32_t> &slots,
                            uint64_t *out_received) {
  VRAM_TRY(check_slots(slots));
  Lock lock;
  VRAM_TRY(acquire(&lock));
  VRAM_TRY(check_overrun(bytes));
  const uint64_t before_bytes = received_bytes_;
  const vram_status status = guarded([&] { return read_and_append(source, bytes, slots); });
  // A connection that ended brought no byte, so another one can continue.
  if (status != VRAM_SOCKET_CLOSED) failure_ = status;
  if (status == VRAM_OK) *out_received = received_bytes_ - before_bytes;
  return status;
}

vram_status Load::read_and_append(Source &source, uint64_t bytes, const std::vector<uint32_t> &slots) {
  std::vector<uint8_t *> buffers;
  for (const uint32_t slot : slots) buffers.push_back(driver_->slot(slot));
  // Pieces end at slot boundaries of the whole shard, so that they consist of whole blocks.
  const uint64_t first_bytes = VRAM_STAGING_SLOT_BYTES - received_bytes_ % VRAM_STAGING_SLOT_BYTES;
  ReadAhead reader(source, bytes, first_bytes, std::move(buffers));
  for (;;) {
    ReadAhead::Piece piece = {};
    VRAM_TRY(reader.next(&piece));
    if (piece.bytes == 0) return VRAM_OK;
    VRAM_TRY(append(piece.data, piece.bytes));
    reader.release_oldest();
  }
}

vram_status Load::append(const uint8_t *data, uint64_t bytes) {
  vram_status status = VRAM_OK;
  if (allocation_ != nullptr) {
    VRAM_TRY(allocation_->device().bind());
    status = copy_stream_.begin_copy(allocation_->address() + received_bytes_, data, bytes);
  }
  if (status == VRAM_OK) status = digest(data, bytes);
  // After a failure as well: the caller owns the slot again when this function returns.
  if (allocation_ != nullptr) status = first_failure(status, copy_stream_.finish_copy());
  received_bytes_ += bytes;
  return status;
}

vram_status Load::digest(const uint8_t *data, uint64_t bytes) {
  Sha256 *const flat = (flags_ & VRAM_LOAD_FLAT) != 0 ? &flat_ : nullptr;
  return guarded([&]() -> vram_status {
    if ((flags_ & VRAM_LOAD_TREE) != 0) {
      tree_.update(data, bytes, flat);
    } else if (flat != nullptr) {
      flat->update(data, bytes);
    }
    return VRAM_OK;
  });
}

vram_status Load::seal(uint64_t *out_sealed_bytes) {
  Lock lock;
  VRAM_TRY(acquire(&lock));
  uint64_t sealed_bytes = 0;
  if (allocation_ != nullptr) VRAM_TRY(failure_ = allocation_->seal_filled(received_bytes_, &sealed_bytes));
  *out_sealed_bytes = sealed_bytes;
  return VRAM_OK;
}

vram_status Load::finish(vram_load_result *out_result) {
  Lock lock;
  VRAM_TRY(acquire(&lock));
  if (received_bytes_ != bytes_) return VRAM_LOAD_INCOMPLETE;
  if (!result_.has_value()) {
    vram_load_result result = {};
    if ((flags_ & VRAM_LOAD_FLAT) != 0) flat_.finish(result.flat);
    if ((flags_ & VRAM_LOAD_TREE) != 0) tree_.finish(result.tree);
    result_ = result;
  }
  *out_result = *result_;
  return VRAM_OK;
}

vram_status Load::close() {
  const Lock lock(mutex_);
  if (closed_) return VRAM_OK;
  // The allocation can be freed once no copy uses it, even if a later step fails.
  if (copy_stream_.is_idle()) release_allocation();
  if (allocation_ != nullptr) {
    VRAM_TRY(failure_ = allocation_->device().bind());
    VRAM_TRY(failure_ = copy_stream_.release());
    release_allocation();
  }
  closed_ = true;
  return VRAM_OK;
}

void Load::release_allocation() {
  if (holds_allocation_) allocation_->end_load();
  holds_allocation_ = false;
}

}  // namespace vram
