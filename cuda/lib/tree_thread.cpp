#include "tree_thread.h"

#include <pthread.h>

#include "guarded.h"
#include "tree.h"

namespace vram {

TreeThread::TreeThread(bool wanted) {
  if (!wanted) return;
  // Without the thread, the load's own thread hashes everything.
  (void)guarded([this] {
    thread_ = std::thread([this] { work(); });
    return VRAM_OK;
  });
}

TreeThread::~TreeThread() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool TreeThread::is_busy() {
  if (!thread_.joinable()) return true;
  const std::lock_guard<std::mutex> lock(mutex_);
  return started_ - finished_ == kMaxPieces;
}

void TreeThread::hash(const uint8_t *data, uint64_t bytes, uint8_t *out_hashes) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    pieces_[started_++ % kMaxPieces] = {data, bytes, out_hashes};
  }
  changed_.notify_all();
}

void TreeThread::finish(const uint8_t *data) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [&] { return !has(data); });
}

/** Needs mutex_. */
bool TreeThread::has(const uint8_t *data) const {
  for (uint64_t piece = finished_; piece < started_; ++piece) {
    if (pieces_[piece % kMaxPieces].data == data) return true;
  }
  return false;
}

void TreeThread::work() noexcept {
  // This thread wakes often and briefly. SCHED_BATCH keeps it from preempting the thread of the flat digest.
  const sched_param batch = {};
  (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &batch);
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return finished_ < started_ || stopped_; });
    if (finished_ == started_) return;
    const Piece piece = pieces_[finished_ % kMaxPieces];
    lock.unlock();
    for (uint64_t done = 0; done < piece.bytes; done += kGroupBytes) {
      hash_group(piece.data + done, kGroupBytes, false, piece.out_hashes + done / kGroupBytes * kDigestBytes);
    }
    lock.lock();
    ++finished_;
    changed_.notify_all();
  }
}

}  // namespace vram
