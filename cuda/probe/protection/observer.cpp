#include "observer.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../include/vram.h"
#include "attempts.h"

namespace probe {
namespace {

/** Waits for a descriptor. Returns -1 if the child has ended. */
int receive_descriptor(int socket) {
  pollfd request = {socket, POLLIN, 0};
  if (poll(&request, 1, -1) != 1) return -1;
  char byte = 0;
  int descriptor = -1;
  vram_received received = {};
  if (vram_receive(socket, &byte, 1, &descriptor, 1, &received) != VRAM_OK) return -1;
  return received.descriptor_count == 1 ? descriptor : -1;
}

/** Runs an attempt in a process whose standard input is a socket. Returns the process and the other end. */
pid_t start_child(const char *driver_path, const std::string &name, int *out_socket) {
  int sockets[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0) std::exit(2);
  const pid_t child = fork();
  if (child == 0) {
    dup2(sockets[1], STDIN_FILENO);
    close(sockets[0]);
    execl("/proc/self/exe", "protection", driver_path, name.c_str(), static_cast<char *>(nullptr));
    _exit(2);
  }
  close(sockets[1]);
  *out_socket = sockets[0];
  return child;
}

}  // namespace

bool send_descriptor(int socket, int descriptor) {
  uint64_t sent = 0;
  return vram_send(socket, "d", 1, &descriptor, 1, &sent) == VRAM_OK;
}

Observer::Observer(const char *driver_path) : driver_path_(driver_path), driver_(open_driver(driver_path)) {
  use_device(driver_, 0);
  require("cuMemHostAlloc", driver_.cuMemHostAlloc(&bytes_, kBytes, 0));
  require("cuStreamCreate", driver_.cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING));
}

void Observer::run(const std::string &name) {
  std::printf("%s", name.c_str());
  std::fflush(stdout);
  int socket = -1;
  const pid_t child = start_child(driver_path_, name, &socket);
  const int descriptor = driver_.cuMemImportFromShareableHandle ? receive_descriptor(socket) : -1;
  if (descriptor >= 0) import(descriptor);
  if (descriptor < 0) shutdown(socket, SHUT_RDWR);  // the child must not wait for this process
  if (descriptor >= 0 && name == kImporterWrites) write_as_importer(socket);
  int status = 0;
  (void)waitpid(child, &status, 0);
  close(socket);
  if (status != 0) std::printf("  child=%d", status);
  std::printf("  memory:%s\n", descriptor >= 0 ? observe().c_str() : "not-observed");
  if (descriptor >= 0) discard(descriptor);
}

void Observer::import(int descriptor) {
  const CUresult imported = driver_.cuMemImportFromShareableHandle(
      &memory_.handle, reinterpret_cast<void *>(static_cast<intptr_t>(descriptor)),
      CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
  require("import", imported);
  memory_ = map(driver_, memory_.handle, kBytes);
  require("importer access", set_access(driver_, memory_.address, kBytes, CU_MEM_ACCESS_FLAGS_PROT_READ));
}

void Observer::write_as_importer(int socket) {
  char byte = 0;
  (void)!read(socket, &byte, 1);
  const CUresult access = set_access(driver_, memory_.address, kBytes, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  const CUresult written = driver_.cuMemsetD8Async(memory_.address, kAfter, kBytes, stream_);
  const CUresult waited = driver_.cuStreamSynchronize(stream_);
  std::printf("  importer-access=%s  importer-write=%s  wait=%s", describe(driver_, access).c_str(),
              describe(driver_, written).c_str(), describe(driver_, waited).c_str());
  std::fflush(stdout);
  (void)!write(socket, "x", 1);
}

std::string Observer::observe() {
  require("observe", driver_.cuMemcpyDtoHAsync_v2(bytes_, memory_.address, kBytes, stream_));
  require("observe", driver_.cuStreamSynchronize(stream_));
  const unsigned char *const bytes = static_cast<unsigned char *>(bytes_);
  size_t changed = 0, zeros = 0;
  for (size_t i = 0; i < kBytes; ++i) {
    changed += bytes[i] != kBefore;
    zeros += bytes[i] == 0;
  }
  if (changed == 0) return "unchanged";
  return "CHANGED-" + std::to_string(changed) + (zeros == changed ? "-zeros" : "");
}

void Observer::discard(int descriptor) {
  require("unmap", driver_.cuMemUnmap(memory_.address, kBytes));
  require("free", driver_.cuMemAddressFree(memory_.address, kBytes));
  require("release", driver_.cuMemRelease(memory_.handle));
  close(descriptor);
}

}  // namespace probe
