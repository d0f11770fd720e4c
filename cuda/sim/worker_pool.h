/** One thread per core, shared by all streams for the `fast` kernels. */
#pragma once

#include <pthread.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace cuda_sim {

/**
 * A GPU uses no core of the host. So the threads run only on a core that is idle otherwise (SCHED_IDLE). A job that is late
 * gets a share of busy cores, because a GPU does not wait for the host either.
 */
class WorkerPool {
 public:
  using Task = std::function<void(uint64_t)>;

  /** Calls task(0) … task(count - 1) in any order on the pool's threads. Returns when all calls have returned. */
  void run(uint64_t count, const Task &task);

 private:
  class Job;

  void start();
  void work();
  void set_idle(bool idle);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::mutex job_mutex_;
  std::shared_ptr<Job> job_;
  std::vector<pthread_t> threads_;
  bool started_ = false;
  bool can_leave_idle_ = false;
  bool is_short_of_threads_ = false;
};

/** The pool of this process. Its threads are never joined; they are idle when the process exits. */
WorkerPool &worker_pool();

}  // namespace cuda_sim
