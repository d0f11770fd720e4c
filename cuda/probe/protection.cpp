/**
 * Asks a driver what CU_MEM_ACCESS_FLAGS_PROT_READ protects. Each attempt runs in a process of its own, because a refused
 * write destroys the context. The memory is exported first, so that this process can read it after the child is gone.
 *
 *     protection DRIVER            all attempts, one line each
 *     protection DRIVER ATTEMPT    one attempt; the descriptor of the memory goes to standard input, a socket
 */
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <functional>
#include <vector>

#include "../include/vram.h"
#include "driver.h"

namespace probe {
namespace {

constexpr size_t kBytes = 2 * kGranule;
constexpr CUmemAllocationHandleType kDescriptor = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
constexpr unsigned char kBefore = 0xa5;
constexpr unsigned char kAfter = 0x5a;

const char *driver_path = nullptr;

/** One child's view: memory of two granules, filled with kBefore. */
struct Child {
  Driver driver;
  Memory memory;
  CUstream stream = nullptr;
  CUdeviceptr other = 0;  // writable memory
  void *pinned = nullptr;

  CUresult access(CUmemAccess_flags flags) const { return access(0, kBytes, flags); }
  CUresult access(size_t offset, size_t bytes, CUmemAccess_flags flags) const {
    return set_access(driver, memory.address + offset, bytes, flags);
  }
};

CUresult launch(const Child &child, const char *kernel, CUdeviceptr address, uint64_t second) {
  const CUfunction function = find_kernel(child.driver, kernel);
  if (function == nullptr) return CUDA_ERROR_NOT_FOUND;
  void *parameters[] = {&address, &second};
  return child.driver.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, child.stream, parameters, nullptr);
}

struct Way {
  const char *name;
  std::function<CUresult(const Child &, CUdeviceptr)> write;
};

const std::vector<Way> &ways() {
  static const std::vector<Way> all = {
      {"kernel-store", [](const Child &c, CUdeviceptr a) { return launch(c, "probe_store", a, 0x5a5a5a5a); }},
      {"kernel-atomic", [](const Child &c, CUdeviceptr a) { return launch(c, "probe_atomic", a, 0xffffffff); }},
      {"cuMemcpyHtoD", [](const Child &c, CUdeviceptr a) { return c.driver.cuMemcpyHtoD_v2(a, c.pinned, 4096); }},
      {"cuMemcpyHtoD-1MiB",
       [](const Child &c, CUdeviceptr a) { return c.driver.cuMemcpyHtoD_v2(a, c.pinned, 1 << 20); }},
      {"cuMemcpyHtoD-pageable",
       [](const Child &c, CUdeviceptr a) {
         const std::vector<unsigned char> bytes(4096, kAfter);
         return c.driver.cuMemcpyHtoD_v2(a, bytes.data(), bytes.size());
       }},
      {"cuMemcpyHtoDAsync",
       [](const Child &c, CUdeviceptr a) { return c.driver.cuMemcpyHtoDAsync_v2(a, c.pinned, 1 << 20, c.stream); }},
      {"cuMemcpyDtoD", [](const Child &c, CUdeviceptr a) { return c.driver.cuMemcpyDtoD_v2(a, c.other, 4096); }},
      {"cuMemcpyDtoDAsync",
       [](const Child &c, CUdeviceptr a) { return c.driver.cuMemcpyDtoDAsync_v2(a, c.other, 1 << 20, c.stream); }},
      {"cuMemcpy", [](const Child &c, CUdeviceptr a) { return c.driver.cuMemcpy(a, c.other, 4096); }},
      {"cuMemsetD8", [](const Child &c, CUdeviceptr a) { return c.driver.cuMemsetD8_v2(a, kAfter, 4096); }},
      {"cuMemsetD32", [](const Child &c, CUdeviceptr a) { return c.driver.cuMemsetD32_v2(a, 0x5a5a5a5a, 1024); }},
      {"cuMemsetD8Async",
       [](const Child &c, CUdeviceptr a) { return c.driver.cuMemsetD8Async(a, kAfter, 1 << 20, c.stream); }},
      {"cuStreamWriteValue32",
       [](const Child &c, CUdeviceptr a) { return c.driver.cuStreamWriteValue32_v2(c.stream, a, 0x5a5a5a5a, 0); }},
  };
  return all;
}

void print(const Child &child, const char *what, CUresult result) {
  std::printf("  %s=%s", what, describe(child.driver, result).c_str());
}

void print_access(const Child &child, const char *what, CUdeviceptr address) {
  const CUmemLocation location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
  unsigned long long flags = 99;
  const CUresult result = child.driver.cuMemGetAccess(&flags, &location, address);
  if (result == CUDA_SUCCESS) std::printf("  %s:access=%llu", what, flags);
  if (result != CUDA_SUCCESS) print(child, what, result);
}

void attempt_write(const Child &child, const Way &way, CUdeviceptr address) {
  const CUresult called = way.write(child, address);
  print(child, "call", called);
  print(child, "wait", child.driver.cuStreamSynchronize(child.stream));
  size_t free_bytes = 0, total_bytes = 0;
  print(child, "later", child.driver.cuMemGetInfo_v2(&free_bytes, &total_bytes));
}

void attempt_read(const Child &child, CUdeviceptr address) {
  unsigned char bytes[64] = {};
  const CUresult copied = child.driver.cuMemcpyDtoHAsync_v2(child.pinned, address, sizeof(bytes), child.stream);
  print(child, "DtoH", copied);
  print(child, "wait", child.driver.cuStreamSynchronize(child.stream));
  std::memcpy(bytes, child.pinned, sizeof(bytes));
  std::printf("  byte=%02x", bytes[0]);
  print(child, "kernel-load", launch(child, "probe_load", address, child.other));
  print(child, "wait", child.driver.cuStreamSynchronize(child.stream));
}

struct Attempt {
  std::string name;
  std::function<void(Child &)> run;
};

constexpr CUmemAccess_flags kNone = CU_MEM_ACCESS_FLAGS_PROT_NONE;
constexpr CUmemAccess_flags kRead = CU_MEM_ACCESS_FLAGS_PROT_READ;
constexpr CUmemAccess_flags kReadWrite = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;

void wait_for_parent() {
  char byte = 0;
  std::fflush(stdout);
  (void)!write(STDIN_FILENO, "x", 1);
  (void)!read(STDIN_FILENO, &byte, 1);
}

std::vector<Attempt> attempts() {
  std::vector<Attempt> all;
  for (const Way &way : ways()) {
    const auto write = [way](Child &c) { attempt_write(c, way, c.memory.address); };
    all.push_back({"writable/" + std::string(way.name), write});
    all.push_back({"sealed/" + std::string(way.name), [write](Child &c) {
                     print(c, "seal", c.access(kRead));
                     write(c);
                   }});
  }
  for (const char *name : {"kernel-store", "cuMemcpyHtoDAsync", "cuMemsetD8Async"}) {
    for (const Way &way : ways()) {
      if (std::strcmp(way.name, name) != 0) continue;
      all.push_back({"writable-again/" + std::string(name), [way](Child &c) {
                       print(c, "seal", c.access(kRead));
                       print(c, "unseal", c.access(kReadWrite));
                       attempt_write(c, way, c.memory.address);
                     }});
      all.push_back({"first-half-sealed/first/" + std::string(name), [way](Child &c) {
                       print(c, "seal", c.access(0, kGranule, kRead));
                       print_access(c, "first", c.memory.address + kGranule - 1);
                       print_access(c, "second", c.memory.address + kGranule);
                       attempt_write(c, way, c.memory.address);
                     }});
      all.push_back({"first-half-sealed/second/" + std::string(name), [way](Child &c) {
                       print(c, "seal", c.access(0, kGranule, kRead));
                       attempt_write(c, way, c.memory.address + kGranule);
                     }});
      all.push_back({"alias/" + std::string(name), [way](Child &c) {
                       print(c, "seal", c.access(kRead));
                       const Memory alias = map(c.driver, c.memory.handle, kBytes);
                       print_access(c, "alias", alias.address);
                       print(c, "alias-writable", set_access(c.driver, alias.address, kBytes, kReadWrite));
                       print_access(c, "alias", alias.address);
                       print_access(c, "sealed", c.memory.address);
                       attempt_write(c, way, alias.address);
                     }});
    }
  }
  all.push_back({"sealed/reads", [](Child &c) {
                   print(c, "seal", c.access(kRead));
                   print_access(c, "sealed", c.memory.address);
                   attempt_read(c, c.memory.address);
                 }});
  all.push_back({"no-access/DtoH", [](Child &c) {
                   print(c, "none", c.access(kNone));
                   print_access(c, "none", c.memory.address);
                   attempt_read(c, c.memory.address);
                 }});
  all.push_back({"sealed/unaligned-range", [](Child &c) {
                   print(c, "4KiB", c.access(0, 4096, kRead));
                   print(c, "offset-4KiB", c.access(4096, kGranule - 4096, kRead));
                   print(c, "64KiB", c.access(0, 65536, kRead));
                   print(c, "beyond", c.access(kGranule, kBytes, kRead));
                   print_access(c, "after", c.memory.address);
                   print_access(c, "unmapped", c.memory.address + kBytes);
                   print(c, "seal-twice", c.access(kRead));
                   print(c, "seal-twice", c.access(kRead));
                 }});
  all.push_back({"sealed/while-a-kernel-writes", [](Child &c) {
                   print(c, "launch", launch(c, "probe_store_slowly", c.memory.address, 200000));
                   print(c, "seal", c.access(kRead));
                   print(c, "wait", c.driver.cuStreamSynchronize(c.stream));
                 }});
  all.push_back({"sealed/unmap-while-a-kernel-writes", [](Child &c) {
                   print(c, "launch", launch(c, "probe_store_slowly", c.memory.address, 200000));
                   print(c, "unmap", c.driver.cuMemUnmap(c.memory.address, kBytes));
                   print(c, "wait", c.driver.cuStreamSynchronize(c.stream));
                 }});
  all.push_back({"importer/writes-sealed-memory", [](Child &c) {
                   print(c, "exporter-seal", c.access(kRead));
                   wait_for_parent();  // the parent maps the memory writable and writes
                   print_access(c, "exporter", c.memory.address);
                   attempt_read(c, c.memory.address);
                 }});
  all.push_back({"importer/after-exporter-wipes", [](Child &c) {
                   print(c, "exporter-wipe", c.driver.cuMemsetD8Async(c.memory.address, 0, kBytes, c.stream));
                   print(c, "wait", c.driver.cuStreamSynchronize(c.stream));
                   print(c, "unmap", c.driver.cuMemUnmap(c.memory.address, kBytes));
                   print(c, "release", c.driver.cuMemRelease(c.memory.handle));
                 }});
  return all;
}

bool send_descriptor(int socket, int descriptor) {
  uint64_t sent = 0;
  return vram_send(socket, "d", 1, &descriptor, 1, &sent) == VRAM_OK;
}

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

int run_attempt(const std::string &name) {
  alarm(20);
  for (const Attempt &attempt : attempts()) {
    if (attempt.name != name) continue;
    Child child;
    child.driver = open_driver(driver_path);
    use_device(child.driver, 0);
    const bool exportable = static_cast<bool>(child.driver.cuMemExportToShareableHandle);
    child.memory = create(child.driver, kBytes, exportable);
    child.other = create(child.driver, kBytes, false).address;
    require("cuMemHostAlloc", child.driver.cuMemHostAlloc(&child.pinned, 1 << 20, 0));
    require("cuStreamCreate", child.driver.cuStreamCreate(&child.stream, CU_STREAM_NON_BLOCKING));
    require("fill", child.driver.cuMemsetD8Async(child.memory.address, kBefore, kBytes, child.stream));
    require("fill", child.driver.cuMemsetD8Async(child.other, kAfter, kBytes, child.stream));
    require("fill", child.driver.cuStreamSynchronize(child.stream));
    std::memset(child.pinned, kAfter, 1 << 20);
    int descriptor = -1;
    if (exportable) {
      const CUresult exported =
          child.driver.cuMemExportToShareableHandle(&descriptor, child.memory.handle, kDescriptor, 0);
      if (exported != CUDA_SUCCESS) print(child, "export", exported);
      if (exported == CUDA_SUCCESS && !send_descriptor(STDIN_FILENO, descriptor)) return 2;
    }
    attempt.run(child);
    std::fflush(stdout);
    _exit(0);
  }
  return 2;
}

/** The parent: imports each child's memory and looks at it after the child has ended. */
class Observer {
 public:
  Observer() : driver_(open_driver(driver_path)) {
    use_device(driver_, 0);
    require("cuMemHostAlloc", driver_.cuMemHostAlloc(&bytes_, kBytes, 0));
    require("cuStreamCreate", driver_.cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING));
  }

  void run(const std::string &name) {
    int sockets[2] = {-1, -1};
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0) std::exit(2);
    std::printf("%s", name.c_str());
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      dup2(sockets[1], STDIN_FILENO);
      close(sockets[0]);
      execl("/proc/self/exe", "protection", driver_path, name.c_str(), static_cast<char *>(nullptr));
      _exit(2);
    }
    close(sockets[1]);
    const int descriptor = driver_.cuMemImportFromShareableHandle ? receive_descriptor(sockets[0]) : -1;
    if (descriptor >= 0) import(descriptor);
    if (descriptor < 0) shutdown(sockets[0], SHUT_RDWR);  // the child must not wait for this process
    if (descriptor >= 0 && name == "importer/writes-sealed-memory") write_as_importer(sockets[0]);
    int status = 0;
    (void)waitpid(child, &status, 0);
    close(sockets[0]);
    if (status != 0) std::printf("  child=%d", status);
    std::printf("  memory:%s\n", descriptor >= 0 ? observe().c_str() : "not-observed");
    if (descriptor >= 0) discard(descriptor);
  }

 private:
  void import(int descriptor) {
    const CUresult imported = driver_.cuMemImportFromShareableHandle(
        &memory_.handle, reinterpret_cast<void *>(static_cast<intptr_t>(descriptor)), kDescriptor);
    require("import", imported);
    memory_ = map(driver_, memory_.handle, kBytes);
    require("importer access", set_access(driver_, memory_.address, kBytes, kRead));
  }

  void write_as_importer(int socket) {
    char byte = 0;
    (void)!read(socket, &byte, 1);
    const CUresult access = set_access(driver_, memory_.address, kBytes, kReadWrite);
    const CUresult written = driver_.cuMemsetD8Async(memory_.address, kAfter, kBytes, stream_);
    const CUresult waited = driver_.cuStreamSynchronize(stream_);
    std::printf("  importer-access=%s  importer-write=%s  wait=%s", describe(driver_, access).c_str(),
                describe(driver_, written).c_str(), describe(driver_, waited).c_str());
    std::fflush(stdout);
    (void)!write(socket, "x", 1);
  }

  std::string observe() {
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

  void discard(int descriptor) {
    require("unmap", driver_.cuMemUnmap(memory_.address, kBytes));
    require("free", driver_.cuMemAddressFree(memory_.address, kBytes));
    require("release", driver_.cuMemRelease(memory_.handle));
    close(descriptor);
  }

  Driver driver_;
  Memory memory_;
  CUstream stream_ = nullptr;
  void *bytes_ = nullptr;
};

}  // namespace
}  // namespace probe

int main(int count, char **arguments) {
  using namespace probe;
  if (count < 2) return std::fprintf(stderr, "usage: protection DRIVER [ATTEMPT]\n"), 2;
  driver_path = arguments[1];
  signal(SIGPIPE, SIG_IGN);  // the other process may have ended
  if (count > 2) return run_attempt(arguments[2]);
  Observer observer;
  for (const Attempt &attempt : attempts()) observer.run(attempt.name);
  return 0;
}
