#include "exit_deadline.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <mutex>
#include <thread>

#include "clock.h"

namespace vram {
namespace {

constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kNsPerMs = 1'000'000;

/** Static storage without destructors: a signal handler and a detached thread use it until the process ends. */
std::atomic<uint64_t> deadline_ns{kNever};
std::atomic<uint64_t> signaled_ns{kNever};
std::atomic<uint64_t> signal_delay_ms{0};
std::atomic<int32_t> exit_status{0};
std::array<struct sigaction, NSIG> previous{};
std::array<bool, NSIG> is_installed{};
sem_t changed;

uint64_t later(uint64_t from_ns, uint64_t milliseconds) {
  const uint64_t most = (kNever - from_ns) / kNsPerMs;
  return from_ns + std::min(milliseconds, most) * kNsPerMs;
}

void on_signal(int signal, siginfo_t *info, void *context) {
  uint64_t never = kNever;
  signaled_ns.compare_exchange_strong(never, monotonic_ns());
  (void)sem_post(&changed);
  const struct sigaction &next = previous[static_cast<size_t>(signal)];
  if ((next.sa_flags & SA_SIGINFO) != 0) {
    next.sa_sigaction(signal, info, context);
  } else if (next.sa_handler != SIG_DFL && next.sa_handler != SIG_IGN) {
    next.sa_handler(signal);
  }
}

uint64_t effective_deadline() {
  const uint64_t signaled = signaled_ns.load();
  const uint64_t by_signal = signaled == kNever ? kNever : later(signaled, signal_delay_ms.load());
  return std::min(deadline_ns.load(), by_signal);
}

[[noreturn]] void watch() noexcept {
  for (;;) {
    const uint64_t deadline = effective_deadline();
    if (monotonic_ns() >= deadline) _exit(exit_status.load());
    // sem_timedwait() uses the wall clock, which may jump, so this thread sleeps in short steps instead.
    if (deadline == kNever) {
      (void)sem_wait(&changed);
    } else {
      const timespec step = {0, 20 * static_cast<long>(kNsPerMs)};
      (void)nanosleep(&step, nullptr);
    }
  }
}

/** Starts the thread at the first call. It takes no signals: their handlers belong to other threads. */
void start_watch() {
  static std::mutex mutex;
  static bool is_running = false;
  const std::lock_guard<std::mutex> lock(mutex);
  if (is_running) return;
  (void)sem_init(&changed, 0, 0);
  sigset_t all;
  sigset_t before;
  (void)sigfillset(&all);
  (void)pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    std::thread(watch).detach();
    is_running = true;
  } catch (...) {
    (void)pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  (void)pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace

void exit_after(uint64_t milliseconds, int32_t status) {
  start_watch();
  exit_status.store(status);
  const uint64_t wanted = later(monotonic_ns(), milliseconds);
  uint64_t current = deadline_ns.load();
  while (wanted < current && !deadline_ns.compare_exchange_weak(current, wanted)) {
  }
  (void)sem_post(&changed);
}

bool exit_after_signal(int32_t signal, uint64_t milliseconds, int32_t status) {
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  struct sigaction action = {};
  if (signal == SIGKILL || signal == SIGSTOP || sigaction(signal, nullptr, &action) != 0) return false;
  start_watch();
  signal_delay_ms.store(milliseconds);
  exit_status.store(status);
  (void)sem_post(&changed);
  const auto index = static_cast<size_t>(signal);
  if (is_installed[index]) return true;
  previous[index] = action;
  action.sa_flags |= SA_SIGINFO | SA_RESTART;
  action.sa_sigaction = on_signal;
  is_installed[index] = sigaction(signal, &action, nullptr) == 0;
  return is_installed[index];
}

}  // namespace vram
