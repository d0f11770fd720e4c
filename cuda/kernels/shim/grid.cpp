#include "grid.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
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

/** A barrier on a futex. It costs half as much as pthread_barrier_t, which shortens the tests. */
class Barrier {
 public:
  explicit Barrier(unsigned threads) : threads_(threads) {}

  void wait() {
    const uint32_t round = round_.load();
    if (arrived_.fetch_add(1) + 1 == threads_) {
      arrived_ = 0;
      round_.fetch_add(1);
      futex(FUTEX_WAKE_PRIVATE, INT_MAX);
      return;
    }
    // Most of the team arrives while this thread yields, which often avoids the futex wait.
    if (round_.load() == round) sched_yield();
    while (round_.load() == round) futex(FUTEX_WAIT_PRIVATE, round);
  }

 private:
  void futex(int operation, uint32_t value) { syscall(SYS_futex, &round_, operation, value, nullptr, nullptr, 0); }

  const unsigned threads_;
  std::atomic<unsigned> arrived_{0};
  std::atomic<uint32_t> round_{0};
};

thread_local Barrier *team_barrier = nullptr;

/** Blocks the team until all its threads exist. If one failed to start, the others would hang in the barrier. */
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
  team_barrier->wait();
}

namespace cuda_sim {

bool run_grid(Dimensions grid, unsigned block_threads, const std::function<void()> &body) {
  static std::mutex one_grid_at_a_time;
  const std::lock_guard<std::mutex> lock(one_grid_at_a_time);

  Barrier barrier(block_threads);
  StartGate gate;
  const auto run_thread = [&](unsigned index) {
    if (!gate.wait()) return;
    team_barrier = &barrier;
    threadIdx = {index, 0, 0};
    blockDim = {block_threads, 1, 1};
    gridDim = {grid.x, grid.y, grid.z};
    for (unsigned x = 0; x < grid.x; ++x) {
      blockIdx = {x, 0, 0};
      body();
      // The next thread block reuses the shared memory, so every thread must finish this one first.
      __syncthreads();
    }
  };

  std::vector<std::thread> team;
  bool started = true;
  try {
    team.reserve(block_threads);
    for (unsigned i = 0; i < block_threads; ++i) team.emplace_back(run_thread, i);
  } catch (const std::exception &) {
    started = false;
  }
  gate.open(started);
  for (std::thread &thread : team) thread.join();
  return started;
}

}  // namespace cuda_sim
