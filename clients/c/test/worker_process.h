/** A fake worker in a process of its own. */
#pragma once

#include <sys/types.h>

#include <string>

#include "vram_attach.h"

namespace test {

/** The build of libvram and of the simulator that the tests use. */
std::string cuda_build();
std::string simulated_driver();
/** A file in the folder of this program. */
std::string next_to_program(const std::string &name);

class WorkerProcess {
 public:
  /** Starts it, and waits until it listens. `resume`: how it answers `resume`. */
  explicit WorkerProcess(const std::string &resume = "ok");
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess &) = delete;
  WorkerProcess &operator=(const WorkerProcess &) = delete;

  const std::string &socket_path() const { return socket_path_; }
  /** Sends SIGKILL and waits for the end. The socket's file stays. */
  void kill();
  /** Starts another one at the same path. */
  void start(const std::string &resume);
  /** Options that connect to it. They are valid as long as this object. */
  vram_attach_options options(const char *client_name = nullptr) const;

 private:
  std::string directory_;
  std::string socket_path_;
  std::string driver_;
  pid_t process_ = 0;
};

/** A client of a worker. Ends the test if it cannot connect (a time-out is tried again), and checks that nothing is left when it closes. */
class Client {
 public:
  explicit Client(const vram_attach_options &options);
  ~Client();
  Client(const Client &) = delete;
  Client &operator=(const Client &) = delete;

  vram_attach_client *get() const { return client_; }
  /** Attaches a shard by name. Ends the test if that fails. */
  vram_attach_lease *attach(const char *shard_id) const;
  vram_attach_lease_info info(vram_attach_lease *lease) const;
  /** Waits for the next event. Ends the test after 20 seconds. */
  vram_attach_event wait_for_event() const;
  /** The number of leases that the worker counts. */
  uint64_t leases() const;
  /** Waits until the worker counts as many leases. False after 100 seconds. */
  bool comes_to_leases(uint64_t count) const;

 private:
  vram_attach_client *client_ = nullptr;
  size_t descriptors_before_;
};

}  // namespace test
