#include "fiber.h"

#include <cstdint>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

// Each function that switches stacks is left alone by sanitizers, which would mistake the jump for an unwinding.
#define UNINSTRUMENTED __attribute__((noinline, no_sanitize("address", "thread")))

namespace cuda_sim {
namespace {

[[noreturn]] UNINSTRUMENTED void jump(void **registers) {
  __builtin_longjmp(registers, 1);
}

/** Announces the switch to a stack, and to a thread of ThreadSanitizer. Call it immediately before the switch. */
UNINSTRUMENTED void announce([[maybe_unused]] const void *stack, [[maybe_unused]] size_t stack_bytes,
                             [[maybe_unused]] void *thread) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(nullptr, stack, stack_bytes);
#endif
#ifdef __SANITIZE_THREAD__
  __tsan_switch_to_fiber(thread, __tsan_switch_to_fiber_no_sync);
#endif
}

/** Completes a switch, on the stack that runs now. Writes the stack that ran before. */
UNINSTRUMENTED void complete([[maybe_unused]] const void **out_stack, [[maybe_unused]] size_t *out_stack_bytes) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(nullptr, out_stack, out_stack_bytes);
#endif
}

}  // namespace

Fiber::Fiber(char *stack, const std::function<void()> &body) : stack_(stack), body_(body) {
  getcontext(&start_);
  start_.uc_stack.ss_sp = stack;
  start_.uc_stack.ss_size = kStackBytes;
  const auto address = reinterpret_cast<uintptr_t>(this);
  makecontext(&start_, reinterpret_cast<void (*)()>(enter), 2, static_cast<unsigned>(uint64_t{address} >> 32),
              static_cast<unsigned>(address));
#ifdef __SANITIZE_THREAD__
  host_thread_ = __tsan_get_current_fiber();
  own_thread_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
#ifdef __SANITIZE_THREAD__
  __tsan_destroy_fiber(own_thread_);
#endif
}

UNINSTRUMENTED bool Fiber::resume() {
  is_ended_ = false;
  announce(stack_, kStackBytes, own_thread_);
  if (__builtin_setjmp(host_) == 0) start_or_continue();
  complete(nullptr, nullptr);
  return is_ended_;
}

UNINSTRUMENTED void Fiber::pause() {
  announce(host_stack_, host_stack_bytes_, host_thread_);
  if (__builtin_setjmp(own_) == 0) jump(host_);
  complete(&host_stack_, &host_stack_bytes_);
}

UNINSTRUMENTED void Fiber::start_or_continue() {
  if (is_started_) jump(own_);
  is_started_ = true;
  setcontext(&start_);
  __builtin_unreachable();
}

UNINSTRUMENTED void Fiber::enter(unsigned high, unsigned low) {
  auto *const self = reinterpret_cast<Fiber *>(static_cast<uintptr_t>(uint64_t{high} << 32 | low));
  complete(&self->host_stack_, &self->host_stack_bytes_);
  self->run();
}

UNINSTRUMENTED void Fiber::run() {
  for (;;) {
    body_();
    is_ended_ = true;
    pause();
  }
}

}  // namespace cuda_sim
