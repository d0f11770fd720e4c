#include "load.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <utility>

#include "guarded.h"
#include "read_ahead.h"

namespace vram {
namespace {

/** From this length on, a thread costs little compared to the bytes. */
constexpr uint64_t kMinTreeThreadBytes = 8 * kGroupBytes;

}  // namespace

Load::Load(std::shared_ptr<LoadTarget> target) : target_(std::move(target)) {}

Load::~Load() {
  (void)close();
}

vram_status Load::open() {
  VRAM_TRY(target_->begin());
  begin();
  return VRAM_OK;
}

vram_status Load::open_writer(std::shared_ptr<Load> *out_writer) {
  Lock lock;
  VRAM_TRY(acquire(&lock));
  if (target_->has(VRAM_LOAD_FLAT)) return VRAM_LOAD_IN_ORDER;
  *out_writer = std::make_shared<Load>(target_);
  target_->add_writer();
  (*out_writer)->begin();
  return VRAM_OK;
}

/** The target counts this writer. */
void Load::begin() {
  closed_ = false;
  holds_target_ = true;
}

vram_status Load::acquire(Lock *out_lock) {
  *out_lock = Lock(mutex_, std::try_to_lock);
  if (!out_lock->owns_lock()) return VRAM_BUSY;
  return closed_ ? VRAM_STALE_HANDLE : target_->failure();
}

/** Whether the next byte begins a group, or every byte up to the end was written. */
bool Load::is_between_groups() const {
  return position_ % kGroupBytes == 0 || position_ == target_->bytes();
}

vram_status Load::seek(uint64_t offset) {
  Lock lock;
  VRAM_TRY(acquire(&lock));
  if (target_->has(VRAM_LOAD_FLAT)) return VRAM_LOAD_IN_ORDER;
  if (offset % kGroupBytes != 0) return VRAM_UNALIGNED;
  if (offset >= target_->bytes()) return VRAM_OUT_OF_BOUNDS;
  if (!is_between_groups()) return VRAM_LOAD_INCOMPLETE;
  position_ = hashed_from_ = offset;
  return VRAM_OK;
}

vram_status Load::check_slots(const std::vector<uint32_t> &slots) const {
  std::vector<bool> named(target_->driver().slot_count());
  for (const uint32_t slot : slots) {
    if (slot >= named.size() || named[slot]) return VRAM_OUT_OF_BOUNDS;
    named[slot] = true;
  }
  return VRAM_OK;
}

vram_status Load::push(const std::vector<uint32_t> &slots, uint64_t bytes) {
  if (bytes == 0 || slots.empty()) return VRAM_ZERO_LENGTH;
  VRAM_TRY(check_slots(slots));
  const bool fills_slots = (bytes - 1) / VRAM_STAGING_SLOT_BYTES == slots.size() - 1;
  if (!fills_slots) return VRAM_OUT_OF_BOUNDS;
  Lock lock;
  VRAM_TRY(acquire(&lock));
  return claim_and_write(bytes, [&]() -> vram_status {
    uint64_t left = bytes;
    for (const uint32_t slot : slots) {
      const uint64_t piece = std::min<uint64_t>(left, VRAM_STAGING_SLOT_BYTES);
      VRAM_TRY(append(driver().slot(slot), piece, nullptr));
      VRAM_TRY(finish_copies(CopyStream::kMaxRunning));
      left -= piece;
    }
    return VRAM_OK;
  });
}

vram_status Load::load_file(File &file, const vram_file_range &range, uint64_t *out_received) {
  if (range.bytes == 0) return VRAM_ZERO_LENGTH;
  if (range.wait_ms > INT32_MAX) return VRAM_OUT_OF_BOUNDS;
  if (range.offset > UINT64_MAX - range.bytes) return VRAM_OVERFLOW;
  Lock lock;
  VRAM_TRY(acquire(&lock));
  const uint64_t before_bytes = position_;
  VRAM_TRY(claim_and_write(range.bytes, [&] { return append_file(file, range); }));
  *out_received = position_ - before_bytes;
  return VRAM_OK;
}

vram_status Load::load_socket(int socket, uint64_t bytes, uint32_t wait_ms, const std::vector<uint32_t> &slots,
                              uint64_t *out_received) {
  if (bytes == 0 || slots.empty()) return VRAM_ZERO_LENGTH;
  if (wait_ms > INT32_MAX) return VRAM_OUT_OF_BOUNDS;
  VRAM_TRY(check_slots(slots));
  SocketSource source(socket, wait_ms);
  Lock lock;
  VRAM_TRY(acquire(&lock));
  const uint64_t before_bytes = position_;
  VRAM_TRY(claim_and_write(bytes, [&] { return append_source(source, bytes, slots); }));
  *out_received = position_ - before_bytes;
  return VRAM_OK;
}

/** Calls write(), which appends at most `bytes` bytes. Until it returns, no other writer can claim their groups. */
template <typename Write>
vram_status Load::claim_and_write(uint64_t bytes, Write write) {
  const uint64_t from = position_;
  uint64_t until = 0;
  if (__builtin_add_overflow(from, bytes, &until)) return VRAM_LOAD_OVERRUN;
  VRAM_TRY(target_->claim(from, until));
  const vram_status status = guarded([&]() -> vram_status {
    // After a failure as well: the caller owns the memory again when this function returns.
    const vram_status written = guarded(write);
    VRAM_TRY(first_failure(written, finish_copies(0)));
    store_hashes();
    return VRAM_OK;
  });
  // A connection that ended brought no byte, so another one can continue.
  if (status != VRAM_OK && status != VRAM_SOCKET_CLOSED) return target_->fail(status);
  target_->settle(from, position_, until);
  return status;
}

vram_status Load::append_source(Source &source, uint64_t bytes, const std::vector<uint32_t> &slots) {
  std::vector<uint8_t *> buffers;
  for (const uint32_t slot : slots) buffers.push_back(driver().slot(slot));
  // Pieces end at slot boundaries of the whole shard, so that they consist of whole blocks.
  const uint64_t first_bytes = VRAM_STAGING_SLOT_BYTES - position_ % VRAM_STAGING_SLOT_BYTES;
  ReadAhead reader(source, bytes, first_bytes, std::move(buffers));
  TreeThread tree_thread(wants_tree_thread(bytes));
  const uint8_t *late = nullptr;  // a piece that was digested, and may not be copied yet
  // If a slot remains to receive into, the copy of a piece may end while the next one is digested.
  const uint64_t running = slots.size() > 2 ? 1 : 0;
  for (;;) {
    ReadAhead::Piece piece = {};
    VRAM_TRY(reader.next(&piece));
    if (piece.bytes == 0) return VRAM_OK;
    VRAM_TRY(append(piece.data, piece.bytes, &tree_thread));
    VRAM_TRY(finish_copies(running));
    const uint8_t *const done = running == 0 ? piece.data : std::exchange(late, piece.data);
    if (done == nullptr) continue;
    tree_thread.finish(done);
    reader.release_oldest();
  }
}

vram_status Load::append_file(File &file, const vram_file_range &range) {
  ReadBuffers *const pool = target_->allocation() != nullptr ? &driver().read_buffers() : nullptr;
  if (pool != nullptr) VRAM_TRY(target_->allocation()->device().bind());
  File::ChunkReader reader(file, pool);
  std::deque<File::Chunk> chunks;  // the last one is digested while the others are copied
  // After a failure as well: no copy may use a buffer that the file reads into again.
  const auto give_back = [&](Load *) {
    (void)finish_copies(0);
    for (File::Chunk &chunk : chunks) reader.give(std::move(chunk));
  };
  const std::unique_ptr<Load, decltype(give_back)> at_the_end(this, give_back);
  TreeThread tree_thread(wants_tree_thread(range.bytes));
  const uint64_t end = range.offset + range.bytes;
  for (uint64_t offset = range.offset; offset < end; offset += chunks.back().bytes) {
    const auto deadline = File::Clock::now() + std::chrono::milliseconds(range.wait_ms);
    File::Chunk chunk;
    VRAM_TRY(reader.take(offset, end, deadline, &chunk));
    if (chunk.bytes == 0) break;
    chunks.push_back(std::move(chunk));
    VRAM_TRY(append(chunks.back().buffer->data(), chunks.back().bytes, &tree_thread));
    VRAM_TRY(finish_copies(CopyStream::kMaxRunning));
    for (; chunks.size() > CopyStream::kMaxRunning; chunks.pop_front()) {
      tree_thread.finish(chunks.front().buffer->data());
      reader.give(std::move(chunks.front()));
    }
  }
  return finish_copies(0);
}

/** Starts to copy bytes to the device, and digests them. They must not change until the copy is finished. */
vram_status Load::append(const uint8_t *data, uint64_t bytes, TreeThread *tree_thread) {
  if (Allocation *const allocation = target_->allocation(); allocation != nullptr) {
    VRAM_TRY(take_stream());
    VRAM_TRY(copy_stream_->begin_copy(allocation->address() + position_, data, bytes));
  }
  digest(data, bytes, tree_thread);
  position_ += bytes;
  return VRAM_OK;
}

/** See CopyStream::finish_copies. */
vram_status Load::finish_copies(uint64_t running) {
  return copy_stream_ != nullptr ? copy_stream_->finish_copies(running) : VRAM_OK;
}

vram_status Load::take_stream() {
  Device &device = target_->allocation()->device();
  VRAM_TRY(device.bind());
  return copy_stream_ != nullptr ? VRAM_OK : device.copy_streams().take(&copy_stream_);
}

/** Whether another thread makes both digests of `bytes` bytes faster. If so, makes room for their hashes. */
bool Load::wants_tree_thread(uint64_t bytes) {
  const bool has_both = target_->has(VRAM_LOAD_FLAT) && target_->has(VRAM_LOAD_TREE);
  if (!has_both || bytes < kMinTreeThreadBytes || one_pass_costs_little()) return false;
  tree_.reserve(bytes);
  return true;
}

void Load::digest(const uint8_t *data, uint64_t bytes, TreeThread *tree_thread) {
  Sha256 *const flat = target_->has(VRAM_LOAD_FLAT) ? &flat_ : nullptr;
  const bool are_groups = bytes % kGroupBytes == 0 && tree_.is_between_groups();
  if (tree_thread != nullptr && are_groups && !tree_thread->is_busy()) {
    tree_thread->hash(data, bytes, tree_.add_groups(bytes));
    flat_.update(data, bytes);
  } else if (target_->has(VRAM_LOAD_TREE)) {
    tree_.update(data, bytes, flat);
  } else if (flat != nullptr) {
    flat->update(data, bytes);
  }
}

/** Moves the hashes of complete groups to the target, once no group is incomplete. */
void Load::store_hashes() {
  if (!target_->has(VRAM_LOAD_TREE) || !is_between_groups()) return;
  target_->store_hashes(hashed_from_, tree_.take_groups(target_->bytes() <= kBlockBytes));
  hashed_from_ = position_;
}

vram_status Load::seal(uint64_t *out_sealed_bytes) {
  Lock lock;
  VRAM_TRY(acquire(&lock));
  return target_->fail(target_->seal(out_sealed_bytes));
}

vram_status Load::finish(vram_load_result *out_result) {
  Lock lock;
  VRAM_TRY(acquire(&lock));
  if (!target_->is_complete()) return VRAM_LOAD_INCOMPLETE;
  if (!result_.has_value()) {
    vram_load_result result = {};
    if (target_->has(VRAM_LOAD_FLAT)) flat_.finish(result.flat);
    if (target_->has(VRAM_LOAD_TREE)) target_->tree_digest(result.tree);
    result_ = result;
  }
  *out_result = *result_;
  return VRAM_OK;
}

vram_status Load::complete(uint32_t slot, uint64_t bytes, vram_load_result *out_result) {
  if (bytes != 0) VRAM_TRY(push({slot}, bytes));
  return finish(out_result);
}

vram_status Load::close() {
  const Lock lock(mutex_);
  if (closed_) return VRAM_OK;
  // The allocation can be freed once no copy uses it, even if a later step fails.
  if (copy_stream_ == nullptr || copy_stream_->is_idle()) leave_target();
  if (copy_stream_ != nullptr) {
    Device &device = target_->allocation()->device();
    VRAM_TRY(target_->fail(device.bind()));
    VRAM_TRY(target_->fail(device.copy_streams().give_back(&copy_stream_)));
    leave_target();
  }
  closed_ = true;
  return VRAM_OK;
}

void Load::leave_target() {
  if (holds_target_) target_->remove_writer();
  holds_target_ = false;
}

}  // namespace vram
