/**
 * Measures what it costs to export memory, and what it costs another process to import, map and read it, by size. The
 * other process uses the memory in place, as an engine that attaches a shard does.
 *
 *     sharing DRIVER [MAXIMUM_MIB]
 */
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "../include/vram.h"
#include "driver.h"
#include "timing.h"

namespace probe {
namespace {

constexpr CUmemAllocationHandleType kDescriptor = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
constexpr size_t kMiB = size_t{1} << 20;

double milliseconds_since(Clock::time_point start) {
  return seconds_since(start) * 1e3;
}

/** The other process: imports the memory that arrives on standard input, and prints the time of each call. */
int import(const char *driver_path, size_t bytes) {
  const Driver driver = open_driver(driver_path);
  use_device(driver, 0);
  void *pinned = nullptr;
  CUstream stream = nullptr;
  require("cuMemHostAlloc", driver.cuMemHostAlloc(&pinned, 4096, 0));
  require("cuStreamCreate", driver.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  char byte = 0;
  int descriptor = -1;
  vram_received received = {};
  if (vram_receive(STDIN_FILENO, &byte, 1, &descriptor, 1, &received) != VRAM_OK) return 2;
  CUmemGenericAllocationHandle handle = 0;
  const auto start = Clock::now();
  require("import", driver.cuMemImportFromShareableHandle(
                        &handle, reinterpret_cast<void *>(static_cast<intptr_t>(descriptor)), kDescriptor));
  const double imported = milliseconds_since(start);
  const Memory memory = map(driver, handle, bytes);
  const double mapped = milliseconds_since(start);
  require("access", set_access(driver, memory.address, bytes, CU_MEM_ACCESS_FLAGS_PROT_READ));
  const double accessible = milliseconds_since(start);
  require("copy", driver.cuMemcpyDtoHAsync_v2(pinned, memory.address + bytes - 64, 64, stream));
  require("wait", driver.cuStreamSynchronize(stream));
  std::printf(" %10.3f %10.3f %10.3f %10.3f", imported, mapped - imported, accessible - mapped,
              milliseconds_since(start) - accessible);
  const auto end = Clock::now();
  require("unmap", driver.cuMemUnmap(memory.address, bytes));
  require("free", driver.cuMemAddressFree(memory.address, bytes));
  require("release", driver.cuMemRelease(handle));
  std::printf(" %10.3f\n", milliseconds_since(end));
  std::fflush(stdout);
  const bool is_right = static_cast<unsigned char *>(pinned)[63] == 0x5a;
  if (!is_right) std::fprintf(stderr, "the imported memory has other bytes\n");
  _exit(is_right ? 0 : 1);
}

/** Exports memory of one size to a process of its own. */
void measure(const Driver &driver, const char *driver_path, CUstream stream, size_t bytes) {
  const auto start = Clock::now();
  const Memory memory = create(driver, bytes, true);
  const double created = milliseconds_since(start);
  require("fill", driver.cuMemsetD8Async(memory.address, 0x5a, bytes, stream));
  require("fill", driver.cuStreamSynchronize(stream));
  const auto exporting = Clock::now();
  int descriptor = -1;
  require("export", driver.cuMemExportToShareableHandle(&descriptor, memory.handle, kDescriptor, 0));
  std::printf("%12zu %10.3f %10.3f", bytes, created, milliseconds_since(exporting));
  std::fflush(stdout);
  int sockets[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0) std::exit(2);
  const pid_t child = fork();
  if (child == 0) {
    dup2(sockets[1], STDIN_FILENO);
    const std::string size = std::to_string(bytes);
    execl("/proc/self/exe", "sharing", driver_path, "import", size.c_str(), static_cast<char *>(nullptr));
    _exit(2);
  }
  close(sockets[1]);
  uint64_t sent = 0;
  if (vram_send(sockets[0], "d", 1, &descriptor, 1, &sent) != VRAM_OK) std::exit(2);
  close(descriptor);
  int status = 0;
  (void)waitpid(child, &status, 0);
  close(sockets[0]);
  if (status != 0) std::exit(1);
  require("unmap", driver.cuMemUnmap(memory.address, bytes));
  require("free", driver.cuMemAddressFree(memory.address, bytes));
  require("release", driver.cuMemRelease(memory.handle));
}

void require_export(const Driver &driver) {
  const CUmemAllocationProp prop = properties(true);
  CUmemGenericAllocationHandle handle = 0;
  int descriptor = -1;
  CUresult result = driver.cuMemCreate(&handle, kGranule, &prop, 0);
  if (result == CUDA_SUCCESS) result = driver.cuMemExportToShareableHandle(&descriptor, handle, kDescriptor, 0);
  if (result != CUDA_SUCCESS) skip("the driver does not export memory: " + describe(driver, result));
  close(descriptor);
  require("release", driver.cuMemRelease(handle));
}

}  // namespace
}  // namespace probe

int main(int count, char **arguments) {
  using namespace probe;
  if (count < 2) return std::fprintf(stderr, "usage: sharing DRIVER [MAXIMUM_MIB]\n"), 2;
  if (count > 3 && std::strcmp(arguments[2], "import") == 0) {
    return import(arguments[1], std::strtoull(arguments[3], nullptr, 10));
  }
  const size_t maximum = (is_quick() ? 64 : count > 2 ? std::strtoull(arguments[2], nullptr, 10) : 65536) * kMiB;
  const Driver driver = open_driver(arguments[1]);
  use_device(driver, 0);
  require_export(driver);
  CUstream stream = nullptr;
  require("cuStreamCreate", driver.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  std::printf("%12s %10s %10s %10s %10s %10s %10s %10s\n", "bytes", "create ms", "export ms", "import ms", "map ms",
              "access ms", "read ms", "release ms");
  for (size_t bytes = kGranule; bytes <= std::min(maximum, usable_bytes(driver)); bytes *= bytes < 64 * kMiB ? 32 : 4) {
    for (int round = 0; round < (is_quick() ? 1 : 3); ++round) measure(driver, arguments[1], stream, bytes);
  }
  return 0;
}
