#include "stream.h"

#include <pthread.h>

#include <algorithm>
#include <exception>
#include <thread>

#include "simulator.h"

namespace cuda_sim {

namespace {

/** An exception that left the stream's thread would end the process. As on a GPU, it ends the context instead. */
CUresult run(const std::function<CUresult()> &operation) noexcept {
  try {
    return operation();
  } catch (const std::exception &) {
    return CUDA_ERROR_LAUNCH_FAILED;
  }
}

}  // namespace

uint64_t Stream::submit(std::function<CUresult()> operation) {
  return submit_always([this, operation = std::move(operation)] {
    PrimaryContext &context = device_.context;
    if (context.sticky_error() != CUDA_SUCCESS) return;
    const CUresult result = run(operation);
    if (result != CUDA_SUCCESS) context.set_sticky_error(result);
  });
}

uint64_t Stream::submit_always(std::function<void()> operation) {
  const std::lock_guard<std::mutex> lock(mutex_);
  ensure_thread();
  queue_.push_back(std::move(operation));
  changed_.notify_all();
  return ++submitted_;
}

void Stream::ensure_thread() {
  if (running_) return;
  // Detached, because a process may exit with open streams. close() waits for the thread through running_.
  std::thread([self = shared_from_this()] { self->work(); }).detach();
  running_ = true;
}

void Stream::work() {
  // The thread wakes often and briefly. SCHED_BATCH keeps it from preempting the threads of the host.
  const sched_param batch = {};
  (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &batch);
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return closing_ || !queue_.empty(); });
    if (queue_.empty()) break;
    std::function<void()> operation = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    simulator().latency.wait();
    operation();
    operation = nullptr;  // releases its captures before it counts as complete
    lock.lock();
    ++completed_;
    changed_.notify_all();
  }
  running_ = false;
  changed_.notify_all();
}

void Stream::wait(uint64_t number) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [&] { return completed_ >= number; });
}

void Stream::wait_for_all() {
  std::unique_lock<std::mutex> lock(mutex_);
  const uint64_t number = submitted_;
  changed_.wait(lock, [&] { return completed_ >= number; });
}

void Stream::close() {
  std::unique_lock<std::mutex> lock(mutex_);
  closing_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return !running_; });
}

void Event::record(const std::shared_ptr<Event> &event, Stream &stream) {
  // Queue while holding the event's lock, so that concurrent records reach their streams in the order of their numbers.
  const std::lock_guard<std::mutex> lock(event->mutex_);
  const uint64_t number = event->recorded_ + 1;
  stream.submit_always([event, number] {
    const std::lock_guard<std::mutex> reached_lock(event->mutex_);
    event->reached_ = std::max(event->reached_, number);
    event->changed_.notify_all();
  });
  event->recorded_ = number;
}

void Event::wait() {
  std::unique_lock<std::mutex> lock(mutex_);
  const uint64_t number = recorded_;
  changed_.wait(lock, [&] { return reached_ >= number; });
}

}  // namespace cuda_sim
