#include "read_ahead.h"

#include <pthread.h>

#include <algorithm>

#include "guarded.h"
#include "status.h"

namespace vram {

ReadAhead::ReadAhead(Source &source, uint64_t bytes, uint64_t first_bytes, std::vector<uint8_t *> slots)
    : source_(source),
      bytes_(bytes),
      first_bytes_(first_bytes),
      slots_(std::move(slots)),
      pieces_(slots_.size()),
      thread_([this] { read_all(); }) {}

ReadAhead::~ReadAhead() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

/** An exception that left the thread would end the process, and with it every shard. */
void ReadAhead::read_all() noexcept {
  // This thread wakes often and briefly. SCHED_BATCH keeps it from preempting the thread that digests.
  const sched_param batch = {};
  (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &batch);
  end(guarded([this] { return read_pieces(); }));
}

vram_status ReadAhead::read_pieces() {
  std::unique_lock<std::mutex> lock(mutex_);
  bool ended = false;
  for (uint64_t done = 0; done < bytes_ && !ended;) {
    changed_.wait(lock, [&] { return stopped_ || held_ < slots_.size(); });
    if (stopped_) return VRAM_OK;
    ++held_;
    const size_t index = filled_pieces_ % slots_.size();
    const uint64_t wanted = std::min(filled_pieces_ == 0 ? first_bytes_ : VRAM_STAGING_SLOT_BYTES, bytes_ - done);
    lock.unlock();
    uint64_t got = 0;
    VRAM_TRY(source_.read(slots_[index], wanted, &got));
    lock.lock();
    ended = got < wanted;
    if (got == 0) break;
    pieces_[index] = {slots_[index], got};
    ++filled_pieces_;
    done += got;
    changed_.notify_all();
  }
  return VRAM_OK;
}

void ReadAhead::end(vram_status status) noexcept {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    status_ = status;
    ended_ = true;
  }
  changed_.notify_all();
}

vram_status ReadAhead::next(Piece *out_piece) {
  *out_piece = {nullptr, 0};
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [&] { return taken_pieces_ < filled_pieces_ || ended_; });
  if (taken_pieces_ == filled_pieces_) return status_;
  *out_piece = pieces_[taken_pieces_++ % slots_.size()];
  return VRAM_OK;
}

void ReadAhead::release_oldest() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    --held_;
  }
  changed_.notify_all();
}

}  // namespace vram
