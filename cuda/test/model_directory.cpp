#include "model_directory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "harness.h"

namespace test {
namespace {

constexpr uint32_t kWaitMs = 20;

}  // namespace

ModelDirectory::ModelDirectory() {
  std::string name = (std::filesystem::temp_directory_path() / "vram_test.XXXXXX").string();
  REQUIRE(mkdtemp(name.data()) != nullptr);
  path_ = name;
}

ModelDirectory::~ModelDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void ModelDirectory::make(const std::string &directory) const {
  REQUIRE(mkdir(path(directory).c_str(), 0700) == 0);
}

void ModelDirectory::write(const std::string &name, const std::vector<uint8_t> &data) const {
  std::FILE *const file = std::fopen(path(name).c_str(), "wb");
  REQUIRE(file != nullptr);
  if (!data.empty()) REQUIRE(std::fwrite(data.data(), 1, data.size(), file) == data.size());
  REQUIRE(std::fclose(file) == 0);
}

void ModelDirectory::link(const std::string &name, const std::string &target) const {
  REQUIRE(symlink(target.c_str(), path(name).c_str()) == 0);
}

OpenFile::OpenFile(const std::string &directory, const std::string &name) {
  REQUIRE_OK(vram_file_open(directory.c_str(), name.c_str(), &handle_));
  (void)settled();
}

vram_file_info OpenFile::info() const {
  vram_file_info info = {};
  REQUIRE_OK(vram_file_get_info(handle_, &info));
  return info;
}

vram_file_info OpenFile::settled() const {
  for (;;) {
    const vram_file_info now = info();
    if (now.pending == 0) return now;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
}

vram_status load_whole(uint64_t load, const OpenFile &file, uint64_t offset, uint64_t bytes) {
  for (uint64_t done = 0; done < bytes;) {
    const vram_file_range range = {offset + done, bytes - done, kWaitMs, 0};
    uint64_t received = 0;
    const vram_status status = vram_load_file(load, file.handle(), &range, &received);
    if (status != VRAM_OK) return status;
    done += received;
    if (done < bytes) (void)file.settled();
  }
  return VRAM_OK;
}

vram_status repair_whole(uint64_t allocation, const OpenFile &file, uint64_t offset, uint64_t bytes,
                         const uint8_t *hashes, uint64_t hashes_bytes) {
  for (uint64_t done = 0;;) {
    const vram_file_range range = {offset + done, bytes - done, kWaitMs, 0};
    const uint64_t skipped = done / VRAM_GROUP_BYTES * VRAM_DIGEST_BYTES;
    uint64_t repaired = 0;
    const vram_status status =
        vram_repair(allocation, file.handle(), &range, hashes + skipped, hashes_bytes - skipped, &repaired);
    done += repaired;
    if (status != VRAM_OK || done == bytes) return status;
    (void)file.settled();
  }
}

}  // namespace test
