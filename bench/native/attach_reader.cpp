/**
 * The engine's side of the attach benchmark: uses a shard in place, or reads the same bytes from a file. Prints JSON.
 *
 *     attach_reader attach SOCKET DRIVER SHARD_ID      connects, attaches, reads the first byte, then all bytes
 *     attach_reader repeat SOCKET DRIVER SHARD_ID N    attaches and detaches N times a second until stdin ends
 *     attach_reader map FILE                           maps a file, reads the first byte, then all bytes
 *     attach_reader read FILE                          copies a file into memory
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "vram_attach.h"

namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

[[noreturn]] void fail(const char *action, const char *detail) {
  (void)std::fprintf(stderr, "attach_reader: %s: %s\n", action, detail);
  std::exit(1);
}

/** Reads every word once, as a kernel reads weights. */
uint64_t sum(const uint8_t *data, uint64_t bytes) {
  uint64_t total = 0;
  for (uint64_t i = 0; i + sizeof(uint64_t) <= bytes; i += sizeof(uint64_t)) {
    uint64_t word = 0;
    std::memcpy(&word, data + i, sizeof(word));
    total += word;
  }
  return total;
}

/** Prints how long the bytes took, from the start of the first call to the first byte, and for all bytes after it. */
void print_reading(Clock::time_point start, const uint8_t *data, uint64_t bytes) {
  const int first = *static_cast<const volatile uint8_t *>(data);
  const double first_byte_ms = ms_since(start);
  const auto all = Clock::now();
  const uint64_t total = sum(data, bytes);
  (void)std::printf("{\"first_byte_ms\":%.4f,\"all_bytes_ms\":%.3f,\"first\":%d,\"sum\":\"%llx\"}\n", first_byte_ms,
                    ms_since(all), first, static_cast<unsigned long long>(total));
}

class Engine {
 public:
  Engine(const char *socket, const char *driver) {
    vram_attach_options options = {};
    options.socket_path = socket;
    options.driver_path = driver;
    options.client_name = "bench/1.0";
    require(vram_attach_connect(&options, &client_, &error_), "connect");
  }
  ~Engine() { vram_attach_close(client_); }
  Engine(const Engine &) = delete;
  Engine &operator=(const Engine &) = delete;

  vram_attach_lease *attach(const char *shard_id) {
    vram_attach_request request = {};
    request.shard_id = shard_id;
    vram_attach_lease *lease = nullptr;
    require(vram_attach_shard(client_, &request, &lease, &error_), "attach");
    return lease;
  }

  vram_attach_lease_info info(vram_attach_lease *lease) {
    vram_attach_lease_info info = {};
    require(vram_attach_get_lease(lease, &info), "get_lease");
    return info;
  }

  void detach(vram_attach_lease *lease) {
    require(vram_attach_detach(lease, &error_), "detach");
    vram_attach_event event;
    while (vram_attach_next_event(client_, &event) == VRAM_ATTACH_OK) continue;
  }

 private:
  void require(vram_attach_status status, const char *call) {
    if (status != VRAM_ATTACH_OK) fail(call, error_.detail);
  }

  vram_attach_client *client_ = nullptr;
  vram_attach_error error_ = {};
};

/** The memory of the simulated device is the host's. */
const uint8_t *bytes_at(uint64_t address) {
  return reinterpret_cast<const uint8_t *>(address);
}

void attach(const char *socket, const char *driver, const char *shard_id) {
  const auto start = Clock::now();
  Engine engine(socket, driver);
  vram_attach_lease *const lease = engine.attach(shard_id);
  const vram_attach_lease_info info = engine.info(lease);
  print_reading(start, bytes_at(info.address), info.vram_bytes);
  engine.detach(lease);
}

bool is_stdin_open(int wait_ms) {
  pollfd descriptor = {STDIN_FILENO, POLLIN, 0};
  return poll(&descriptor, 1, wait_ms) == 0;
}

double percentile(std::vector<double> &sorted, double share) {
  return sorted[std::min(sorted.size() - 1, static_cast<size_t>(share * static_cast<double>(sorted.size())))];
}

/** The times are fixed in advance: a late attach does not delay the next one. */
void repeat(const char *socket, const char *driver, const char *shard_id, double per_second) {
  Engine engine(socket, driver);
  std::vector<double> durations;
  const auto start = Clock::now();
  while (is_stdin_open(0)) {
    const auto began = Clock::now();
    vram_attach_lease *const lease = engine.attach(shard_id);
    (void)*static_cast<const volatile uint8_t *>(bytes_at(engine.info(lease).address));
    durations.push_back(ms_since(began));
    engine.detach(lease);
    const double due_ms = 1000 * static_cast<double>(durations.size()) / per_second;
    std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(due_ms - ms_since(start)));
  }
  const double achieved = 1000 * static_cast<double>(durations.size()) / ms_since(start);
  std::sort(durations.begin(), durations.end());
  (void)std::printf("{\"per_second\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n", achieved, percentile(durations, 0.5),
                    percentile(durations, 0.99));
}

struct File {
  explicit File(const char *path) : descriptor(open(path, O_RDONLY | O_CLOEXEC)) {
    struct stat status = {};
    if (descriptor < 0 || fstat(descriptor, &status) != 0) fail(path, std::strerror(errno));
    bytes = static_cast<size_t>(status.st_size);
  }
  int descriptor;
  size_t bytes = 0;
};

void map(const char *path) {
  const auto start = Clock::now();
  const File file(path);
  void *const data = mmap(nullptr, file.bytes, PROT_READ, MAP_SHARED, file.descriptor, 0);
  if (data == MAP_FAILED) fail("mmap", std::strerror(errno));
  print_reading(start, static_cast<const uint8_t *>(data), file.bytes);
}

void read(const char *path) {
  const auto start = Clock::now();
  const File file(path);
  const std::unique_ptr<uint8_t[]> buffer(new uint8_t[file.bytes]);
  for (size_t done = 0; done < file.bytes;) {
    const ssize_t count = ::read(file.descriptor, buffer.get() + done, file.bytes - done);
    if (count <= 0) fail("read", std::strerror(errno));
    done += static_cast<size_t>(count);
  }
  (void)std::printf("{\"all_bytes_ms\":%.3f}\n", ms_since(start));
}

}  // namespace

int main(int argc, char **argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "attach" && argc == 5) {
    attach(argv[2], argv[3], argv[4]);
  } else if (mode == "repeat" && argc == 6) {
    repeat(argv[2], argv[3], argv[4], std::atof(argv[5]));
  } else if (mode == "map" && argc == 3) {
    map(argv[2]);
  } else if (mode == "read" && argc == 3) {
    read(argv[2]);
  } else {
    fail("usage", "attach|repeat SOCKET DRIVER SHARD_ID [N], or map|read FILE");
  }
  return 0;
}
