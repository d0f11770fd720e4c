/**
 * Asks a driver what CU_MEM_ACCESS_FLAGS_PROT_READ protects. Each attempt runs in a process of its own, because a refused
 * write destroys the context. The memory is exported first, so that this process can read it after the child is gone.
 *
 *     protection DRIVER            all attempts, one line each
 *     protection DRIVER ATTEMPT    one attempt; the descriptor of the memory goes to standard input, a socket
 */
#include <unistd.h>

#include <csignal>

#include "protection/attempts.h"
#include "protection/observer.h"

namespace probe {
namespace {

/** Sends the descriptor of the memory to the parent, if the driver can export it. */
void send_memory(const Child &child) {
  if (!child.exportable) return;
  int descriptor = -1;
  const CUresult exported = child.driver.cuMemExportToShareableHandle(&descriptor, child.memory.handle,
                                                                      CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
  if (exported != CUDA_SUCCESS) child.print("export", exported);
  if (exported == CUDA_SUCCESS && !send_descriptor(STDIN_FILENO, descriptor)) std::exit(2);
}

int run_attempt(const char *driver_path, const std::string &name) {
  alarm(20);
  for (const Attempt &attempt : attempts()) {
    if (attempt.name != name) continue;
    Child child(driver_path);
    send_memory(child);
    attempt.run(child);
    std::fflush(stdout);
    _exit(0);
  }
  return 2;
}

}  // namespace
}  // namespace probe

int main(int count, char **arguments) {
  using namespace probe;
  if (count < 2) return std::fprintf(stderr, "usage: protection DRIVER [ATTEMPT]\n"), 2;
  signal(SIGPIPE, SIG_IGN);  // the other process may have ended
  if (count > 2) return run_attempt(arguments[1], arguments[2]);
  Observer observer(arguments[1]);
  for (const Attempt &attempt : attempts()) observer.run(attempt.name);
  return 0;
}
