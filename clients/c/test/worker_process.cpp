#include "worker_process.h"

#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "../../../cuda/test/descriptors.h"
#include "../../../cuda/test/harness.h"

extern char **environ;

namespace test {

std::string cuda_build() {
  const char *const path = std::getenv("ATTACH_TEST_CUDA");
  REQUIRE(path != nullptr);
  return path;
}

std::string simulated_driver() {
  return cuda_build() + "/libcuda_sim.so";
}

std::string next_to_program(const std::string &name) {
  char path[4096];
  const ssize_t bytes = readlink("/proc/self/exe", path, sizeof(path));
  REQUIRE(bytes > 0);
  const std::string program(path, static_cast<size_t>(bytes));
  return program.substr(0, program.rfind('/') + 1) + name;
}

WorkerProcess::WorkerProcess(const std::string &resume) : driver_(simulated_driver()) {
  char directory[] = "/tmp/vram_attach-XXXXXX";
  REQUIRE(mkdtemp(directory) != nullptr);
  directory_ = directory;
  socket_path_ = directory_ + "/attach.sock";
  start(resume);
}

WorkerProcess::~WorkerProcess() {
  kill();
  unlink(socket_path_.c_str());
  rmdir(directory_.c_str());
}

void WorkerProcess::start(const std::string &resume) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const Descriptor output(ends[0]);
  Descriptor input(ends[1]);
  std::string program = next_to_program("fake_worker"), how = resume;
  char *const arguments[] = {program.data(), socket_path_.data(), how.data(), nullptr};
  posix_spawn_file_actions_t actions;
  REQUIRE(posix_spawn_file_actions_init(&actions) == 0);
  REQUIRE(posix_spawn_file_actions_adddup2(&actions, input.get(), STDOUT_FILENO) == 0);
  REQUIRE(posix_spawn(&process_, program.c_str(), &actions, nullptr, arguments, environ) == 0);
  posix_spawn_file_actions_destroy(&actions);
  input.reset();
  char line[6] = {};
  REQUIRE(read(output.get(), line, sizeof(line)) == sizeof(line) && std::memcmp(line, "ready\n", sizeof(line)) == 0);
}

void WorkerProcess::kill() {
  if (process_ == 0) return;
  (void)::kill(process_, SIGKILL);
  (void)waitpid(std::exchange(process_, 0), nullptr, 0);
}

vram_attach_options WorkerProcess::options(const char *client_name) const {
  return {socket_path_.c_str(), driver_.c_str(), client_name, nullptr, 20000, 0};
}

Client::Client(const vram_attach_options &options) : descriptors_before_(open_descriptors()) {
  vram_attach_error error = {};
  vram_attach_status status = VRAM_ATTACH_TIMED_OUT;
  // The time-out may be one that only later requests must exceed.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(100);
  while (status == VRAM_ATTACH_TIMED_OUT && std::chrono::steady_clock::now() < deadline) {
    status = vram_attach_connect(&options, &client_, &error);
  }
  if (status != VRAM_ATTACH_OK) fail(__FILE__, __LINE__, std::string("connect: ") + error.detail);
  REQUIRE(status == VRAM_ATTACH_OK);
}

Client::~Client() {
  vram_attach_close(client_);
  CHECK(open_descriptors() == descriptors_before_);
}

vram_attach_lease *Client::attach(const char *shard_id) const {
  vram_attach_request request = {};
  request.shard_id = shard_id;
  vram_attach_lease *lease = nullptr;
  vram_attach_error error = {};
  const vram_attach_status status = vram_attach_shard(client_, &request, &lease, &error);
  if (status != VRAM_ATTACH_OK) fail(__FILE__, __LINE__, std::string(shard_id) + ": " + error.detail);
  REQUIRE(status == VRAM_ATTACH_OK);
  return lease;
}

vram_attach_lease_info Client::info(vram_attach_lease *lease) const {
  vram_attach_lease_info info = {};
  REQUIRE(vram_attach_get_lease(lease, &info) == VRAM_ATTACH_OK);
  return info;
}

vram_attach_event Client::wait_for_event() const {
  vram_attach_event event = {};
  for (;;) {
    const vram_attach_status status = vram_attach_next_event(client_, &event);
    if (status == VRAM_ATTACH_OK) return event;
    REQUIRE(status == VRAM_ATTACH_NO_EVENT);
    pollfd polled = {vram_attach_event_descriptor(client_), POLLIN, 0};
    REQUIRE(poll(&polled, 1, 20000) == 1);
  }
}

uint64_t Client::leases() const {
  uint64_t count = UINT64_MAX;
  const auto visit = [](const vram_attach_shard_info *shard, void *context) {
    if (std::strcmp(shard->shard_id, "leases") == 0) *static_cast<uint64_t *>(context) = shard->vram_bytes;
  };
  REQUIRE(vram_attach_list(client_, nullptr, nullptr, visit, &count, nullptr) == VRAM_ATTACH_OK);
  return count;
}

bool Client::comes_to_leases(uint64_t count) const {
  for (int attempt = 0; attempt < 20000; ++attempt) {
    if (leases() == count) return true;
    usleep(5000);
  }
  return false;
}

}  // namespace test
