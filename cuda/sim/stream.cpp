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

/** Waits as a thread of the host waits for a device: it sleeps, or it asks again and again. */
template <typename Condition>
void wait_until(std::unique_lock<std::mutex> &lock, std::condition_variable &changed, bool blocking,
                Condition condition) {
  if (blocking) return changed.wait(lock, condition);
  while (!condition()) {
    lock.unlock();
    std::this_thread::yield();
    lock.lock();
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
  wait_until(lock, changed_, device_.context.is_blocking(), [&] { return completed_ >= number; });
}

void Stream::wait_for_all() {
  std::unique_lock<std::mutex> lock(mutex_);
  const uint64_t number = submitted_;
  wait_until(lock, changed_, device_.context.is_blocking(), [&] { return completed_ >= number; });
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
  wait_until(lock, changed_, blocking_, [&] { return reached_ >= number; });
}

}  // namespace cuda_sim
