#include "thread_block.h"

#include <pthread.h>

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "cuda_shim.h"

thread_local uint3 threadIdx;
thread_local uint3 blockIdx;
thread_local uint3 blockDim;
thread_local uint3 gridDim;

namespace {

thread_local pthread_barrier_t *team_barrier = nullptr;

class Barrier {
 public:
  explicit Barrier(unsigned threads) { pthread_barrier_init(&barrier_, nullptr, threads); }
  ~Barrier() { pthread_barrier_destroy(&barrier_); }
  Barrier(const Barrier &) = delete;
  Barrier &operator=(const Barrier &) = delete;
  pthread_barrier_t *get() { return &barrier_; }

 private:
  pthread_barrier_t barrier_;
};

/** Holds the team back until all its threads exist: a barrier that waits for a thread which never came would hang. */
class StartGate {
 public:
  void open(bool go) {
    const std::lock_guard<std::mutex> lock(mutex_);
    go_ = go;
    open_ = true;
    opened_.notify_all();
  }
  bool wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    opened_.wait(lock, [this] { return open_; });
    return go_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
  bool go_ = false;
};

}  // namespace

void __syncthreads() {
  pthread_barrier_wait(team_barrier);
}

namespace cuda_sim {

bool run_grid(Dimensions grid, unsigned block_threads, const std::function<void()> &body) {
  static std::mutex one_grid_at_a_time;
  const std::lock_guard<std::mutex> lock(one_grid_at_a_time);

  Barrier barrier(block_threads);
  StartGate gate;
  const auto member = [&](unsigned index) {
    if (!gate.wait()) return;
    team_barrier = barrier.get();
    threadIdx = {index, 0, 0};
    blockDim = {block_threads, 1, 1};
    gridDim = {grid.x, grid.y, grid.z};
    for (unsigned x = 0; x < grid.x; ++x) {
      blockIdx = {x, 0, 0};
      body();
      // The next block's threads may overwrite shared memory only when this block's are done with it.
      __syncthreads();
    }
  };

  std::vector<std::thread> team;
  bool complete = true;
  try {
    team.reserve(block_threads);
    for (unsigned i = 0; i < block_threads; ++i) team.emplace_back(member, i);
  } catch (const std::exception &) {
    complete = false;
  }
  gate.open(complete);
  for (std::thread &thread : team) thread.join();
  return complete;
}

}  // namespace cuda_sim
