/** One thread per core, shared by all streams for the `fast` kernels. */
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>

namespace cuda_sim {

class WorkerPool {
 public:
  /** Calls task(0) … task(count - 1) in any order on the pool's threads. Returns when all calls have returned. */
  void run(uint64_t count, const std::function<void(uint64_t)> &task);

 private:
  struct Job {
    const std::function<void(uint64_t)> *task;
    uint64_t count;
    uint64_t next = 0;
    uint64_t done = 0;
  };

  void start();
  void work();
  void run_tasks(Job &job, std::unique_lock<std::mutex> &lock);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::mutex job_mutex_;
  Job *job_ = nullptr;
  bool started_ = false;
  bool is_short_of_threads_ = false;
};

/** The pool of this process. Its threads are never joined; they are idle when the process exits. */
WorkerPool &worker_pool();

}  // namespace cuda_sim
