#include "read_ahead.h"

#include <pthread.h>

#include <algorithm>

namespace vram {

ReadAhead::ReadAhead(Source &source, uint64_t bytes, uint64_t first_bytes, std::vector<uint8_t *> slots)
    : source_(source), bytes_(bytes), first_bytes_(first_bytes), slots_(std::move(slots)), thread_([this] {
        read_all();
      }) {}

ReadAhead::~ReadAhead() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void ReadAhead::read_all() {
  // This thread wakes often and briefly. SCHED_BATCH keeps it from preempting the thread that digests.
  const sched_param batch = {};
  (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &batch);
  std::unique_lock<std::mutex> lock(mutex_);
  uint64_t done = 0;
  for (size_t piece = 0; done < bytes_ && status_ == VRAM_OK && !ended_; ++piece) {
    changed_.wait(lock, [&] { return stopped_ || held_ < slots_.size(); });
    if (stopped_) return;
    ++held_;
    lock.unlock();
    uint8_t *const slot = slots_[piece % slots_.size()];
    const uint64_t wanted = std::min(piece == 0 ? first_bytes_ : VRAM_STAGING_SLOT_BYTES, bytes_ - done);
    uint64_t got = 0;
    const vram_status status = source_.read(slot, wanted, &got);
    lock.lock();
    status_ = status;
    ended_ = got < wanted;
    if (status == VRAM_OK && got != 0) filled_.push_back({slot, got});
    done += got;
    changed_.notify_all();
  }
  ended_ = true;
  changed_.notify_all();
}

vram_status ReadAhead::next(Piece *out_piece) {
  *out_piece = {nullptr, 0};
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [&] { return !filled_.empty() || ended_ || status_ != VRAM_OK; });
  if (filled_.empty()) return status_;
  *out_piece = filled_.front();
  filled_.pop_front();
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
