/** Runs a function piece by piece on a stack of its own. A switch takes nanoseconds, without a call of the kernel. */
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <functional>

namespace cuda_sim {

/**
 * Sanitizers see a fiber as a thread. A switch does not order memory accesses for ThreadSanitizer, so that it detects
 * races between fibers.
 */
class Fiber {
 public:
  static constexpr size_t kStackBytes = 64 * 1024;

  /** `body` runs on `stack`, of `kStackBytes`. Both must outlive the fiber. */
  Fiber(char *stack, const std::function<void()> &body);
  ~Fiber();
  Fiber(const Fiber &) = delete;
  Fiber &operator=(const Fiber &) = delete;

  /** Runs the body up to its next pause() or its end. Returns whether it ended. The next call then starts it again. */
  bool resume();
  /** Leaves the body until the next resume(). Call it in the body. */
  void pause();

 private:
  using Registers = void *[5];  // the format of __builtin_setjmp

  static void enter(unsigned high, unsigned low);
  [[noreturn]] void run();
  [[noreturn]] void start_or_continue();

  char *const stack_;
  const std::function<void()> &body_;
  ucontext_t start_{};
  Registers own_{}, host_{};
  bool is_started_ = false, is_ended_ = false;
  // For AddressSanitizer: the stack of the host thread. For ThreadSanitizer: both of its threads.
  const void *host_stack_ = nullptr;
  size_t host_stack_bytes_ = 0;
  void *own_thread_ = nullptr, *host_thread_ = nullptr;
};

}  // namespace cuda_sim
