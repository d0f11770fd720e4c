#include "file_threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "clock.h"
#include "guarded.h"

namespace vram {
namespace {

constexpr size_t kMaxThreads = 32;
constexpr size_t kMaxWaiting = 1024;
constexpr std::chrono::milliseconds kRetry{100};
/** A job is stuck if a call takes longer. Calls are short: an open, or a read of at most a group. */
constexpr uint64_t kStuckNs = 10'000'000'000;

thread_local bool is_file_thread = false;
thread_local size_t file_thread_index = 0;

/**
 * A thread in a call that does not return outlives the exit of the process in the kernel. It must not keep the process's
 * sockets, locks and devices open then. Where this is not permitted, the threads share the table of the process.
 */
void leave_descriptor_table() {
#ifndef __SANITIZE_THREAD__  // ThreadSanitizer takes equal numbers in two tables for one descriptor
  constexpr unsigned kFirst = 3, kLast = ~0u;
  if (unshare(CLONE_FILES) == 0) (void)syscall(SYS_close_range, kFirst, kLast, 0);
#endif
}

class FileThreads {
 public:
  FileThreads() { started_.reserve(kMaxThreads); }  // so that start_threads() does not allocate, and cannot throw

  vram_status run(std::function<void()> job, Admission admission) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (admission == Admission::kBounded && is_full()) return VRAM_FILE_BUSY;
    if (!has_starter_) std::thread([this] { start_threads(); }).detach();
    has_starter_ = true;
    waiting_.push_back(std::move(job));
    job_waits_.notify_one();
    if (waiting_.size() > idle_) thread_needed_.notify_one();
    return VRAM_OK;
  }

  bool continue_job() {
    const std::lock_guard<std::mutex> lock(mutex_);
    started_[file_thread_index] = monotonic_ns();
    return waiting_.size() <= idle_;
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
    const uint64_t now = monotonic_ns();
    const auto is_stuck = [now](uint64_t started) { return started != 0 && now - started > kStuckNs; };
    return started_.size() == kMaxThreads && std::all_of(started_.begin(), started_.end(), is_stuck);
  }

  /** Runs on a thread of its own. The threads that it starts inherit its attributes and its descriptor table. */
  void start_threads() {
    // These threads wake often and briefly. SCHED_BATCH keeps them from preempting the threads that digest.
    const sched_param batch = {};
    (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &batch);
    sigset_t all_signals;
    sigfillset(&all_signals);
    (void)pthread_sigmask(SIG_BLOCK, &all_signals, nullptr);
    leave_descriptor_table();
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      thread_needed_.wait(lock, [this] { return waiting_.size() > idle_ && started_.size() < kMaxThreads; });
      // If no thread can be started, the existing ones run the job later.
      if (!start_thread()) (void)thread_needed_.wait_for(lock, kRetry, [] { return false; });
    }
  }

  bool start_thread() {
    const size_t index = started_.size();
    started_.push_back(0);
    ++idle_;
    const vram_status started = guarded([&] {
      std::thread([this, index] { work(index); }).detach();
      return VRAM_OK;
    });
    if (started == VRAM_OK) return true;
    started_.pop_back();
    --idle_;
    return false;
  }

  void work(size_t index) {
    is_file_thread = true;
    file_thread_index = index;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      job_waits_.wait(lock, [this] { return !waiting_.empty(); });
      std::function<void()> job = std::move(waiting_.front());
      waiting_.pop_front();
      started_[index] = monotonic_ns();
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
  std::condition_variable thread_needed_;
  std::deque<std::function<void()>> waiting_;
  bool has_starter_ = false;
  std::vector<uint64_t> started_;  // one per thread: when its job started, 0 if it is idle
  size_t idle_ = 0;
};

FileThreads &file_threads() {
  // Never destroyed: at exit a thread may still be in a call that does not return.
  static auto *const instance = new FileThreads();
  return *instance;
}

}  // namespace

vram_status run_on_file_thread(std::function<void()> job, Admission admission) {
  return file_threads().run(std::move(job), admission);
}

bool continue_file_job() {
  return file_threads().continue_job();
}

bool on_file_thread() {
  return is_file_thread;
}

uint64_t oldest_file_call() {
  return file_threads().oldest();
}

}  // namespace vram
