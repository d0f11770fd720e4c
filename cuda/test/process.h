/** Runs a program as a child process. */
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "descriptors.h"

namespace test {

/** A file in the folder of this program. With a sanitizer, that is the build which the sanitizer instruments. */
std::string next_to_program(const char *file);

/** Runs a program with this process's environment and waits for it. Returns its wait status: 0 if it exited with 0. */
int run_process(const std::string &program, std::vector<std::string> arguments);

/** The socket that connects a PeerProcess to the test. */
constexpr int kPeerSocket = 3;

/** This program as another process, in a role that main() knows. Its kPeerSocket is connected to socket(). */
class PeerProcess {
 public:
  explicit PeerProcess(const std::string &role);
  ~PeerProcess();
  PeerProcess(const PeerProcess &) = delete;
  PeerProcess &operator=(const PeerProcess &) = delete;

  const Descriptor &socket() const { return socket_; }
  /** Sends SIGKILL and waits for the end, if it was not awaited yet. The destructor does the same. */
  void kill();
  /** Closes the socket and waits for the end. Returns the wait status. */
  int finish();

 private:
  Descriptor socket_;
  pid_t process_ = 0;
};

}  // namespace test
