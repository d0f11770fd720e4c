#include "process.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <utility>

#include "harness.h"

extern char **environ;

namespace test {

std::string next_to_program(const char *file) {
  char path[4096];
  const ssize_t bytes = readlink("/proc/self/exe", path, sizeof(path));
  REQUIRE(bytes > 0);
  const std::string program(path, static_cast<size_t>(bytes));
  return program.substr(0, program.rfind('/') + 1) + file;
}

namespace {

pid_t spawn(const std::string &program, std::vector<std::string> arguments, posix_spawn_file_actions_t *actions) {
  arguments.insert(arguments.begin(), program);
  std::vector<char *> pointers;
  for (std::string &argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  pid_t child = 0;
  REQUIRE(posix_spawn(&child, program.c_str(), actions, nullptr, pointers.data(), environ) == 0);
  return child;
}

int wait_for(pid_t child) {
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return status;
}

}  // namespace

int run_process(const std::string &program, std::vector<std::string> arguments) {
  return wait_for(spawn(program, std::move(arguments), nullptr));
}

PeerProcess::PeerProcess(const std::string &role) {
  SocketPair sockets;
  posix_spawn_file_actions_t actions;
  REQUIRE(posix_spawn_file_actions_init(&actions) == 0);
  REQUIRE(posix_spawn_file_actions_adddup2(&actions, sockets.peers.get(), kPeerSocket) == 0);
  process_ = spawn("/proc/self/exe", {role}, &actions);
  posix_spawn_file_actions_destroy(&actions);
  socket_ = std::move(sockets.ours);
}

PeerProcess::~PeerProcess() {
  kill();
}

void PeerProcess::kill() {
  if (process_ == 0) return;
  (void)::kill(process_, SIGKILL);
  (void)waitpid(std::exchange(process_, 0), nullptr, 0);
}

int PeerProcess::finish() {
  socket_.reset();
  return wait_for(std::exchange(process_, 0));
}

}  // namespace test
