/**
 * Measures what a commit by file without the flat digest must do on this machine, with all cores at once: read the file
 * from the page cache, copy the bytes to the device, and hash them as the device does. Prints the rate of each step in
 * GB/s (10^9 bytes), and their limit: the rate at which all cores together do all three.
 *
 * Usage: file_limit FILE
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "../../cuda/hash/sha256.h"

namespace {

constexpr uint64_t kPieceBytes = 1024 * 1024;
/** Exceeds the share of a core in every cache, as the memory of a device does. */
constexpr uint64_t kDeviceBytes = 256 * kPieceBytes;
constexpr std::chrono::milliseconds kDuration(300);

/** One core's buffers, whose pages are allocated before the measurement. */
struct Core {
  std::vector<uint8_t> piece = std::vector<uint8_t>(kPieceBytes, 1);
  std::vector<uint8_t> digests = std::vector<uint8_t>(kPieceBytes / vram::kBlockBytes * vram::kDigestBytes);
  uint8_t *device = static_cast<uint8_t *>(mmap(nullptr, kDeviceBytes, PROT_READ | PROT_WRITE,
                                                MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0));
  ~Core() { munmap(device, kDeviceBytes); }
};

using Step = std::function<void(Core &core, uint64_t piece)>;

/** Calls step(core, 0), step(core, 1) … on every core for kDuration. Returns the rate of all cores together. */
double rate_of(std::vector<std::unique_ptr<Core>> &cores, const Step &step) {
  std::atomic<uint64_t> pieces{0};
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (size_t index = 0; index < cores.size(); ++index) {
    threads.emplace_back([&, index] {
      for (uint64_t piece = index; std::chrono::steady_clock::now() - start < kDuration; piece += cores.size()) {
        step(*cores[index], piece);
        ++pieces;
      }
    });
  }
  for (std::thread &thread : threads) thread.join();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return static_cast<double>(pieces * kPieceBytes) / seconds / 1e9;
}

}  // namespace

int main(int count, char **arguments) {
  const int file = count == 2 ? open(arguments[1], O_RDONLY | O_CLOEXEC) : -1;
  const off_t file_bytes = file < 0 ? 0 : lseek(file, 0, SEEK_END);
  const uint64_t file_pieces = file_bytes < 0 ? 0 : static_cast<uint64_t>(file_bytes) / kPieceBytes;
  std::vector<std::unique_ptr<Core>> cores;
  for (unsigned core = 0; core < std::thread::hardware_concurrency(); ++core) cores.push_back(std::make_unique<Core>());
  if (file_pieces == 0 || cores.front()->device == MAP_FAILED) {
    std::fprintf(stderr, "file_limit: the file is unreadable or shorter than 1 MiB, or memory is short\n");
    return 1;
  }
  const auto offset = [](uint64_t piece, uint64_t pieces) { return piece % pieces * kPieceBytes; };
  const double read = rate_of(cores, [&](Core &core, uint64_t piece) {
    if (pread(file, core.piece.data(), kPieceBytes, static_cast<off_t>(offset(piece, file_pieces))) < 0) std::abort();
  });
  const double copy = rate_of(cores, [&](Core &core, uint64_t piece) {
    std::memcpy(core.device + offset(piece, kDeviceBytes / kPieceBytes), core.piece.data(), kPieceBytes);
  });
  const double hash = rate_of(cores, [&](Core &core, uint64_t piece) {
    vram::hash_blocks(core.device + offset(piece, kDeviceBytes / kPieceBytes), kPieceBytes, core.digests.data());
  });
  std::printf(
      "{\"cores\": %zu, \"read_gb_per_s\": %.4f, \"copy_gb_per_s\": %.4f, \"hash_gb_per_s\": %.4f, "
      "\"limit_gb_per_s\": %.4f}\n",
      cores.size(), read, copy, hash, 1 / (1 / read + 1 / copy + 1 / hash));
  return 0;
}
