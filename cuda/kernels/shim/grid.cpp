#include "grid.h"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <vector>

#include "cuda_shim.h"
#include "fiber.h"

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

uint3 threadIdx;
uint3 blockIdx;
uint3 blockDim;
uint3 gridDim;

namespace {

using cuda_sim::Fiber;

// The host thread and its fibers share variables here in turns, of which ThreadSanitizer knows nothing.
#define UNINSTRUMENTED __attribute__((noinline, no_sanitize("thread")))

/** The threads of a thread block. They take turns on the calling host thread, each from one barrier to the next. */
class Team {
 public:
  Team(unsigned threads, const std::function<void()> &body)
      : stacks_(new char[threads * Fiber::kStackBytes]), body_([this, &body] { run_thread(body); }) {
    for (unsigned i = 0; i < threads; ++i) {
      fibers_.push_back(std::make_unique<Fiber>(stacks_.get() + i * Fiber::kStackBytes, body_));
    }
  }

  /** Runs one thread block. */
  UNINSTRUMENTED void run_block();
  /** The barrier, for the thread that runs. */
  UNINSTRUMENTED void wait();

 private:
  UNINSTRUMENTED void run_thread(const std::function<void()> &body);
  UNINSTRUMENTED unsigned run_round();
  // For ThreadSanitizer: accesses before a barrier happen before those after it. Barriers take turns with two objects,
  // because a thread arrives at one while others have yet to leave the previous one.
  UNINSTRUMENTED void arrive();
  UNINSTRUMENTED void leave();

  const std::unique_ptr<char[]> stacks_;
  const std::function<void()> body_;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  Fiber *running_ = nullptr;
  char barriers_[2] = {};
  unsigned round_ = 0;
};

void Team::run_block() {
  arrive();
  unsigned ended = 0;
  while (ended == 0) {
    ++round_;
    ended = run_round();
  }
  ++round_;
  leave();
  if (ended == fibers_.size()) return;
  std::fputs("cuda_sim: only some threads of a thread block reached a barrier\n", stderr);
  std::abort();
}

unsigned Team::run_round() {
  unsigned ended = 0;
  for (unsigned i = 0; i < fibers_.size(); ++i) {
    threadIdx = {i, 0, 0};
    running_ = fibers_[i].get();
    if (running_->resume()) ++ended;
  }
  return ended;
}

void Team::run_thread(const std::function<void()> &body) {
  leave();
  body();
  arrive();
}

void Team::wait() {
  arrive();
  running_->pause();
  leave();
}

void Team::arrive() {
#ifdef __SANITIZE_THREAD__
  __tsan_release(&barriers_[round_ % 2]);
#endif
}

void Team::leave() {
#ifdef __SANITIZE_THREAD__
  __tsan_acquire(&barriers_[(round_ + 1) % 2]);
#endif
}

Team *current_team = nullptr;

}  // namespace

UNINSTRUMENTED void __syncthreads() {
  current_team->wait();
}

namespace cuda_sim {

UNINSTRUMENTED bool run_grid(Dimensions grid, unsigned block_threads, const std::function<void()> &body) {
  static std::mutex one_grid_at_a_time;
  const std::lock_guard<std::mutex> lock(one_grid_at_a_time);
  std::unique_ptr<Team> team;
  try {
    team = std::make_unique<Team>(block_threads, body);
  } catch (const std::exception &) {
    return false;
  }
  current_team = team.get();
  blockDim = {block_threads, 1, 1};
  gridDim = {grid.x, grid.y, grid.z};
  for (unsigned x = 0; x < grid.x; ++x) {
    blockIdx = {x, 0, 0};
    team->run_block();
  }
  return true;
}

}  // namespace cuda_sim
