/** One thread a core, shared by the streams' `fast` kernels. */
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>

namespace cuda_sim {

class WorkerPool {
 public:
  /** Calls task(0) … task(count - 1), in any order, on the pool's threads; returns when all are done. */
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
  void take_part(Job &job, std::unique_lock<std::mutex> &lock);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::mutex one_job_at_a_time_;
  Job *job_ = nullptr;
  bool started_ = false;
  bool short_of_threads_ = false;
};

/** The process's pool. Its threads are never joined: they wait idle when the process ends. */
WorkerPool &worker_pool();

}  // namespace cuda_sim
