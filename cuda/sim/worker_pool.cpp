#include "worker_pool.h"

#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <thread>

namespace cuda_sim {
namespace {

using Clock = std::chrono::steady_clock;

/** A job is late if it takes longer than this: about 200 MB/s, if each task hashes 1 MiB. */
Clock::duration patience(uint64_t tasks) {
  constexpr std::chrono::milliseconds kStart(20), kEach(5);
  return kStart + tasks * kEach;
}

void set_policy(pthread_t thread, int policy) {
  const sched_param none = {};
  (void)pthread_setschedparam(thread, policy, &none);
}

/** Whether the kernel lets this process leave SCHED_IDLE again: sched(7) asks for CAP_SYS_NICE or RLIMIT_NICE. */
bool may_leave_idle() {
  bool may_leave = false;
  std::thread([&may_leave] {
    set_policy(pthread_self(), SCHED_IDLE);
    const sched_param none = {};
    may_leave = pthread_setschedparam(pthread_self(), SCHED_OTHER, &none) == 0;
  }).join();
  return may_leave;
}

}  // namespace

class WorkerPool::Job {
 public:
  Job(const Task &task, uint64_t count) : task_(task), count_(count) {}

  bool has_tasks() const { return next_ < count_; }

  /** Runs tasks until none is left. Holds no lock during a task, because a thread in SCHED_IDLE may pause for long. */
  void run_tasks() {
    for (uint64_t index = next_++; index < count_; index = next_++) {
      task_(index);
      if (++done_ == count_) notify();
    }
  }

  /** Returns false if it has not ended by then. */
  bool wait_until(Clock::time_point deadline) {
    std::unique_lock<std::mutex> lock(mutex_);
    return ended_.wait_until(lock, deadline, [this] { return done_ == count_; });
  }
  void wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    ended_.wait(lock, [this] { return done_ == count_; });
  }

 private:
  void notify() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ended_.notify_all();
  }

  const Task &task_;  // exists until the last task has returned
  const uint64_t count_;
  std::atomic<uint64_t> next_{0};
  std::atomic<uint64_t> done_{0};
  std::mutex mutex_;
  std::condition_variable ended_;
};

void WorkerPool::run(uint64_t count, const Task &task) {
  if (count == 1) return task(0);
  const std::lock_guard<std::mutex> job_lock(job_mutex_);
  start();
  const auto job = std::make_shared<Job>(task, count);
  const Clock::time_point deadline = Clock::now() + patience(count);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    job_ = job;
  }
  changed_.notify_all();
  // With fewer threads, or none, the caller also runs tasks.
  if (is_short_of_threads_) job->run_tasks();
  if (job->wait_until(deadline)) return;
  set_idle(false);
  job->wait();
  set_idle(true);
}

void WorkerPool::start() {
  if (started_) return;
  started_ = true;
  try {
    can_leave_idle_ = may_leave_idle();
    threads_.reserve(std::thread::hardware_concurrency());
    while (threads_.size() < std::thread::hardware_concurrency()) {
      std::thread thread([this] { work(); });
      threads_.push_back(thread.native_handle());
      thread.detach();
    }
  } catch (const std::exception &) {
    is_short_of_threads_ = true;
  }
  set_idle(true);
}

/** Without permission to leave SCHED_IDLE again, the threads only have a low priority. */
void WorkerPool::set_idle(bool idle) {
  if (!can_leave_idle_) return;
  for (const pthread_t thread : threads_) set_policy(thread, idle ? SCHED_IDLE : SCHED_OTHER);
}

void WorkerPool::work() {
  constexpr int kNiceness = 10;
  (void)setpriority(PRIO_PROCESS, 0, kNiceness);
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return job_ != nullptr && job_->has_tasks(); });
    const std::shared_ptr<Job> job = job_;
    lock.unlock();
    job->run_tasks();
    lock.lock();
  }
}

WorkerPool &worker_pool() {
  static WorkerPool *const pool = new WorkerPool;
  return *pool;
}

}  // namespace cuda_sim
