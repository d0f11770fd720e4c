#include "worker_pool.h"

#include <sys/resource.h>

#include <exception>
#include <thread>

namespace cuda_sim {

void WorkerPool::run(uint64_t count, const std::function<void(uint64_t)> &task) {
  if (count == 1) return task(0);
  const std::lock_guard<std::mutex> job_lock(job_mutex_);
  start();
  Job job = {&task, count};
  std::unique_lock<std::mutex> lock(mutex_);
  job_ = &job;
  changed_.notify_all();
  if (is_short_of_threads_) run_tasks(job, lock);
  changed_.wait(lock, [&] { return job.done == job.count; });
  job_ = nullptr;
}

void WorkerPool::start() {
  if (started_) return;
  started_ = true;
  try {
    for (unsigned i = 0; i < std::thread::hardware_concurrency(); ++i) std::thread([this] { work(); }).detach();
  } catch (const std::exception &) {
    // With fewer threads, or none, the caller also runs tasks.
    is_short_of_threads_ = true;
  }
}

void WorkerPool::work() {
  // A real device uses no host CPU, so the simulated one yields to the host.
  constexpr int kNiceness = 10;
  (void)setpriority(PRIO_PROCESS, 0, kNiceness);
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return job_ != nullptr && job_->next < job_->count; });
    run_tasks(*job_, lock);
  }
}

void WorkerPool::run_tasks(Job &job, std::unique_lock<std::mutex> &lock) {
  // The job is destroyed once its last task is counted and the lock is free. Access it only while holding the lock.
  while (job.next < job.count) {
    const uint64_t index = job.next++;
    lock.unlock();
    (*job.task)(index);
    lock.lock();
    if (++job.done == job.count) changed_.notify_all();
  }
}

WorkerPool &worker_pool() {
  static WorkerPool *const pool = new WorkerPool;
  return *pool;
}

}  // namespace cuda_sim
