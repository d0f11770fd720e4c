/** The path of a shard's memory: what it opens, what it refuses, and how long it exists. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "../../../cuda/test/content.h"
#include "../../../cuda/test/descriptors.h"
#include "../../../cuda/test/harness.h"
#include "simulator.h"
#include "worker_process.h"

namespace test {
namespace {

constexpr size_t kMaxPath = 64;

/** The descriptor in a path "/proc/self/fd/N". */
int number_of(const std::string &path) {
  return std::stoi(path.substr(path.rfind('/') + 1));
}

}  // namespace

TEST("a shard of one part has a read-only path, which exists until it is detached") {
  const Simulator simulator;
  const WorkerProcess worker;
  const Client client(worker.options());
  const size_t descriptors_before = open_descriptors();
  vram_attach_lease *const lease = client.attach("s1");
  const vram_attach_lease_info info = client.info(lease);
  CHECK(open_descriptors() == descriptors_before + 2);  // of the simulator, and of the path

  const char *text = nullptr;
  REQUIRE(vram_attach_get_path(lease, &text, nullptr) == VRAM_ATTACH_OK);
  REQUIRE(std::strlen(text) < kMaxPath);
  const std::string path = text;
  {
    const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    REQUIRE(file.get() >= 0);
    struct stat status = {};
    REQUIRE(fstat(file.get(), &status) == 0);
    CHECK(static_cast<uint64_t>(status.st_size) == info.mapped_bytes);
    const std::vector<uint8_t> expected = content(info.vram_bytes);
    std::vector<uint8_t> read(info.vram_bytes);
    REQUIRE(pread(file.get(), read.data(), read.size(), 0) == static_cast<ssize_t>(read.size()));
    CHECK(read == expected);
    void *const view = mmap(nullptr, info.mapped_bytes, PROT_READ, MAP_SHARED, file.get(), 0);
    REQUIRE(view != MAP_FAILED);
    CHECK(std::memcmp(view, expected.data(), expected.size()) == 0);
    munmap(view, info.mapped_bytes);
  }
  const int number = number_of(path);
  CHECK((fcntl(number, F_GETFL) & O_ACCMODE) == O_RDONLY && (fcntl(number, F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(write(number, "x", 1) < 0);
  CHECK(ftruncate(number, 0) < 0);
  CHECK(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, number, 0) == MAP_FAILED);

  REQUIRE(vram_attach_detach(lease, nullptr) == VRAM_ATTACH_OK);
  CHECK(access(path.c_str(), F_OK) != 0 && open_descriptors() == descriptors_before);
}

TEST("the path of a lease opens the same memory after the worker was killed") {
  const Simulator simulator;
  WorkerProcess worker;
  const Client client(worker.options());
  vram_attach_lease *const lease = client.attach("s1");
  worker.kill();
  const char *path = nullptr;
  REQUIRE(vram_attach_get_path(lease, &path, nullptr) == VRAM_ATTACH_OK);
  const Descriptor file(open(path, O_RDONLY | O_CLOEXEC));
  uint8_t first = 0;
  REQUIRE(pread(file.get(), &first, 1, 0) == 1);
  CHECK(first == content(1)[0]);
}

TEST("a shard of several parts has no path, and arguments are checked") {
  const Simulator simulator;
  const WorkerProcess worker;
  const Client client(worker.options());
  vram_attach_lease *const lease = client.attach("s0");
  const char *path = "unchanged";
  vram_attach_error error = {};
  CHECK(vram_attach_get_path(lease, &path, &error) == VRAM_ATTACH_NOT_A_FILE);
  CHECK(std::string(error.detail).find("4 parts") != std::string::npos && error.retriable == 0);
  CHECK(vram_attach_get_path(nullptr, &path, &error) == VRAM_ATTACH_INVALID_ARGUMENT);
  CHECK(vram_attach_get_path(lease, nullptr, &error) == VRAM_ATTACH_INVALID_ARGUMENT);
  CHECK(std::string(path) == "unchanged");
  CHECK(std::string(vram_attach_status_name(VRAM_ATTACH_NOT_A_FILE)) == "VRAM_ATTACH_NOT_A_FILE");
}

#if !defined(__SANITIZE_ADDRESS__)  // the sanitizers open descriptors of their own
TEST("without a descriptor for the path the shard is attached, and only the path is missing") {
  const Simulator simulator;
  const WorkerProcess worker;
  const Client client(worker.options());
  rlimit before = {};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  // One for the part as it arrives, and one for the simulator.
  const rlimit low = {limit_with_free_descriptors(2), before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
  vram_attach_request request = {};
  request.shard_id = "s1";
  vram_attach_lease *lease = nullptr;
  const vram_attach_status status = vram_attach_shard(client.get(), &request, &lease, nullptr);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  REQUIRE(status == VRAM_ATTACH_OK);
  const char *path = nullptr;
  vram_attach_error error = {};
  CHECK(vram_attach_get_path(lease, &path, &error) == VRAM_ATTACH_OUT_OF_MEMORY);
  CHECK(std::string(error.detail).find("Too many open files") != std::string::npos && error.retriable == 0);
}
#endif

}  // namespace test
