/**
 * Asks a driver what its functions return where NVIDIA's manual is silent: arguments at their limits, and every function
 * after an error that destroyed the context. Each question runs in a process of its own. Compare a GPU's answers with
 * the simulator's.
 *
 *     facts DRIVER KERNELS            all questions, one line each
 *     facts DRIVER KERNELS QUESTION   one question
 */
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "facts/questions.h"

namespace probe {
namespace {

const Questions &questions() {
  static const Questions all = [] {
    Questions joined = memory_questions();
    for (const Questions &more : {stream_questions(), context_questions()}) {
      joined.insert(joined.end(), more.begin(), more.end());
    }
    return joined;
  }();
  return all;
}

int answer(const char *driver_path, const char *kernels_path, const char *name) {
  alarm(30);
  for (const Question &question : questions()) {
    if (std::strcmp(question.name, name) != 0) continue;
    Asker asker(driver_path, kernels_path);
    question.ask(asker);
    std::fflush(stdout);
    _exit(0);
  }
  return 2;
}

void run(const char *driver_path, const char *kernels_path, const char *name) {
  std::printf("%s", name);
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    execl("/proc/self/exe", "facts", driver_path, kernels_path, name, static_cast<char *>(nullptr));
    _exit(2);
  }
  int status = 0;
  (void)waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) std::printf("  ended by signal %d", WTERMSIG(status));
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) std::printf("  status %d", WEXITSTATUS(status));
  std::printf("\n");
}

}  // namespace
}  // namespace probe

int main(int count, char **arguments) {
  using namespace probe;
  if (count < 3) return std::fprintf(stderr, "usage: facts DRIVER KERNELS [QUESTION]\n"), 2;
  if (count > 3) return answer(arguments[1], arguments[2], arguments[3]);
  for (const Question &question : questions()) run(arguments[1], arguments[2], question.name);
  return 0;
}
