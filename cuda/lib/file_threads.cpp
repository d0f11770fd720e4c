#include "file_threads.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

namespace vram {
namespace {

constexpr size_t kMaxThreads = 32;
constexpr size_t kMaxWaiting = 1024;
/** A job that runs longer is stuck. Jobs are short: an open, or a read of at most a group. */
constexpr uint64_t kStuckNs = 10'000'000'000;

uint64_t now_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

class FileThreads {
 public:
  vram_status run(std::function<void()> job, Admission admission) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (admission == Admission::kBounded && is_full()) return VRAM_FILE_BUSY;
    waiting_.push_back(std::move(job));
    if (waiting_.size() > idle_ && started_.size() < kMaxThreads) start_thread();
    job_waits_.notify_one();
    return VRAM_OK;
  }

  uint64_t oldest() {
    const std::lock_guard<std::mutex> lock(mutex_);
    uint64_t oldest = 0;
    for (const uint64_t started : started_) {
      if (started != 0 && (oldest == 0 || started < oldest)) oldest = started;
    }
    return oldest;
  }

 private:
  bool is_full() const {
    if (waiting_.size() >= kMaxWaiting) return true;
    const uint64_t now = now_ns();
    const auto is_stuck = [now](uint64_t started) { return started != 0 && now - started > kStuckNs; };
    return started_.size() == kMaxThreads && std::all_of(started_.begin(), started_.end(), is_stuck);
  }

  /** If no thread can be started, the existing ones run the job later. */
  void start_thread() {
    const size_t index = started_.size();
    started_.push_back(0);
    ++idle_;
    try {
      std::thread([this, index] { work(index); }).detach();
    } catch (...) {
      started_.pop_back();
      --idle_;
      if (!started_.empty()) return;
      waiting_.pop_back();
      throw;
    }
  }

  void work(size_t index) {
    // These threads wake often and briefly. SCHED_BATCH keeps them from preempting the threads that digest.
    const sched_param batch = {};
    (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &batch);
    sigset_t all_signals;
    sigfillset(&all_signals);
    (void)pthread_sigmask(SIG_BLOCK, &all_signals, nullptr);
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      job_waits_.wait(lock, [this] { return !waiting_.empty(); });
      std::function<void()> job = std::move(waiting_.front());
      waiting_.pop_front();
      started_[index] = now_ns();
      --idle_;
      lock.unlock();
      job();
      job = nullptr;
      lock.lock();
      started_[index] = 0;
      ++idle_;
    }
  }

  std::mutex mutex_;
  std::condition_variable job_waits_;
  std::deque<std::function<void()>> waiting_;
  std::vector<uint64_t> started_;  // one per thread: when its job started, 0 if it is idle
  size_t idle_ = 0;
};

FileThreads &threads() {
  // Never destroyed: at exit a thread may still be in a call that does not return.
  static auto *const instance = new FileThreads();
  return *instance;
}

}  // namespace

vram_status run_on_file_thread(std::function<void()> job, Admission admission) {
  return threads().run(std::move(job), admission);
}

uint64_t oldest_file_call() {
  return threads().oldest();
}

}  // namespace vram
