#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

#include "../include/vram.h"
#include "harness.h"

namespace test {

TEST("vram_exit_after_signal refuses a signal that cannot have a handler") {
  for (const int32_t signal : {0, -1, SIGKILL, 1'000'000}) {
    CHECK_STATUS(VRAM_OUT_OF_BOUNDS, vram_exit_after_signal(signal, 1000, 1));
  }
}

// ThreadSanitizer does not support threads of a process that a multithreaded one has forked.
#ifndef __SANITIZE_THREAD__
namespace {

/** Runs work in a child process whose main thread then blocks for ever. Returns its wait status. */
template <typename Work>
int status_of_blocked_child(Work work) {
  const pid_t child = fork();
  if (child == 0) {
    // The tests below must not wait for ever if the deadline does not hold.
    (void)alarm(20);
    work();
    for (;;) (void)pause();
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  return status;
}

bool exited_with(int wait_status, int status) {
  return WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == status;
}

volatile std::sig_atomic_t handled = 0;

void install_handler() {
  (void)std::signal(SIGTERM, [](int) { handled = 1; });
}

}  // namespace

TEST("vram_exit_after ends a blocked process at the earliest deadline with the latest status") {
  const int status = status_of_blocked_child([] {
    (void)vram_exit_after(50, 75);
    (void)vram_exit_after(3'600'000, 70);
  });
  CHECK(exited_with(status, 70));
}

TEST("vram_exit_after_signal ends a blocked process after the signal, and runs the present handler first") {
  const int status = status_of_blocked_child([] {
    install_handler();
    (void)vram_exit_after_signal(SIGTERM, 3'600'000, 71);
    (void)raise(SIGTERM);
    if (handled == 1) (void)vram_exit_after_signal(SIGTERM, 50, 75);
  });
  CHECK(exited_with(status, 75));
}

TEST("vram_exit_after_signal does nothing before the signal") {
  const int status = status_of_blocked_child([] {
    install_handler();
    (void)vram_exit_after_signal(SIGTERM, 0, 75);
    (void)usleep(100'000);
    _exit(3);
  });
  CHECK(exited_with(status, 3));
}

#endif

}  // namespace test
