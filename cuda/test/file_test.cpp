#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "content.h"
#include "file_faults.h"
#include "harness.h"
#include "model_directory.h"
#include "session.h"

namespace test {
namespace {

constexpr uint64_t kBytes = 5000;

/** Checks that a path cannot be opened, and why. */
void check_refused(const ModelDirectory &directory, const std::string &path, vram_status status, int error) {
  const vram_file_info info = OpenFile(directory, path).info();
  if (info.status == status && info.error == error) return;
  fail(__FILE__, __LINE__, path + ": " + vram_status_name(info.status) + ", errno " + std::to_string(info.error));
}

void check_opened(const ModelDirectory &directory, const std::string &path) {
  const vram_file_info info = OpenFile(directory, path).info();
  if (info.status == VRAM_OK && info.bytes == kBytes) return;
  fail(__FILE__, __LINE__, path + ": " + vram_status_name(info.status) + ", errno " + std::to_string(info.error));
}

/** A directory with the layout of the Hugging Face cache: links lead through `..` to blobs. */
class ModelCache : public ModelDirectory {
 public:
  ModelCache() {
    make("blobs");
    make("snapshots");
    make("snapshots/main");
    write("blobs/0123", content(kBytes));
    link("snapshots/main/model.gguf", "../../blobs/0123");
  }
};

/** Calls `change` on another thread, again and again. */
template <typename Change>
class Busy {
 public:
  explicit Busy(Change change)
      : thread_([this, change] {
          while (!stopped_) change();
        }) {}
  ~Busy() {
    stopped_ = true;
    thread_.join();
  }

 private:
  std::atomic<bool> stopped_{false};
  std::thread thread_;
};

/** Reads a range of a file, as many calls as it takes. */
vram_status read_whole(const OpenFile &file, uint64_t offset, std::vector<uint8_t> *out) {
  for (uint64_t done = 0; done < out->size();) {
    const vram_file_range range = {offset + done, out->size() - done, 1, 0};
    uint64_t read = 0;
    const vram_status status = vram_file_read(file.handle(), &range, out->data() + done, range.bytes, &read);
    if (status != VRAM_OK) return status;
    done += read;
    (void)file.settled();
  }
  return VRAM_OK;
}

std::string content_of(const OpenFile &file) {
  std::vector<uint8_t> bytes(file.info().bytes);
  REQUIRE_OK(read_whole(file, 0, &bytes));
  return std::string(bytes.begin(), bytes.end());
}

/** An open link or list. */
struct OpenContent {
  static OpenFile link(const ModelDirectory &directory, const std::string &path) {
    uint64_t handle = 0;
    REQUIRE_OK(vram_link_open(directory.path().c_str(), path.c_str(), &handle));
    return OpenFile(handle);
  }
  static OpenFile list(const ModelDirectory &directory, const std::string &path, uint32_t max_entries) {
    uint64_t handle = 0;
    REQUIRE_OK(vram_list_open(directory.path().c_str(), path.c_str(), max_entries, &handle));
    return OpenFile(handle);
  }
};

}  // namespace

TEST("links that stay beneath the directory are followed, also absolute ones and those of another path to it") {
  const ModelCache cache;
  const ModelDirectory elsewhere;
  elsewhere.link("alias", cache.path());
  cache.link("absolute", cache.path("blobs/0123"));
  cache.link("dotted", cache.path("snapshots/../blobs/./0123"));
  cache.link("by_alias", elsewhere.path("alias") + "//blobs/0123");
  cache.link("directory", cache.path("snapshots"));
  cache.link("chain", "directory/main/model.gguf");
  for (const char *path : {"blobs/0123", "snapshots/main/model.gguf", "absolute", "dotted", "by_alias", "chain",
                           "directory/main/../main/model.gguf", "./blobs//0123", "snapshots/../blobs/0123"}) {
    check_opened(cache, path);
  }
  const vram_file_info by_alias = OpenFile(elsewhere.path("alias"), "absolute").info();
  CHECK(by_alias.status == VRAM_OK && by_alias.bytes == kBytes);
}

TEST("a path that leads outside, or not to a regular file, is refused") {
  const ModelCache cache;
  const ModelDirectory outside;
  outside.write("secret", content(kBytes));
  cache.link("out", outside.path("secret"));
  cache.link("up", "../" + outside.path().substr(outside.path().rfind('/') + 1) + "/secret");
  cache.link("root", "/");
  cache.link("loop", "loop");
  cache.link("device", "/dev/zero");
  cache.link("magic", "/proc/self/root" + outside.path("secret"));
  cache.link("sibling", cache.path() + "x/secret");
  REQUIRE(mkfifo(cache.path("fifo").c_str(), 0600) == 0);
  for (const char *path : {"out", "up", "root/etc/passwd", "device", "magic", "sibling", "..", "../x", "blobs/../../x",
                           "/etc/passwd", "/"}) {
    check_refused(cache, path, VRAM_FILE_ERROR, EXDEV);
  }
  check_refused(cache, cache.path("blobs/0123"), VRAM_FILE_ERROR, EXDEV);
  check_refused(cache, "loop", VRAM_FILE_ERROR, ELOOP);
  check_refused(cache, "absent", VRAM_FILE_ERROR, ENOENT);
  check_refused(cache, "blobs/0123/x", VRAM_FILE_ERROR, ENOTDIR);
  check_refused(cache, "blobs/0123/", VRAM_FILE_ERROR, ENOTDIR);
  check_refused(cache, "blobs/0123/..", VRAM_FILE_ERROR, ENOTDIR);
  check_refused(cache, std::string(300, 'x'), VRAM_FILE_ERROR, ENAMETOOLONG);
  for (const char *path : {"fifo", "blobs", "blobs/", ".", "blobs/..", ""}) {
    check_refused(cache, path, VRAM_NOT_A_FILE, 0);
  }
  const vram_file_info gone = OpenFile(cache.path("gone"), "model").info();
  CHECK(gone.status == VRAM_DIRECTORY_ERROR && gone.error == ENOENT);
  const vram_file_info no_directory = OpenFile(cache.path("blobs/0123"), "model").info();
  CHECK(no_directory.status == VRAM_DIRECTORY_ERROR && no_directory.error == ENOTDIR);
}

TEST("links through `..` open while files of the host are renamed") {
  const ModelCache cache;
  const ModelDirectory elsewhere;
  elsewhere.write("a", {});
  const std::string a = elsewhere.path("a"), b = elsewhere.path("b");
  const Busy renames([a, b] {
    (void)std::rename(a.c_str(), b.c_str());
    (void)std::rename(b.c_str(), a.c_str());
  });
  for (int round = 0; round < 2000; ++round) check_opened(cache, "snapshots/main/model.gguf");
}

TEST("a file that becomes a link to the outside is never opened outside") {
  const ModelCache cache;
  const ModelDirectory outside;
  outside.write("secret", {1, 2, 3});
  cache.make("spare");
  cache.link("spare/link", outside.path("secret"));
  cache.write("spare/file", content(kBytes));
  cache.write("model", content(kBytes));
  const std::string link = cache.path("spare/link"), file = cache.path("spare/file"), model = cache.path("model");
  const Busy swaps([link, file, model] {
    for (const std::string &from : {link, file}) {
      if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, model.c_str(), RENAME_EXCHANGE) == 0) continue;
    }
  });
  int opened = 0;
  for (int round = 0; round < 2000; ++round) {
    const vram_file_info info = OpenFile(cache, "model").info();
    if (info.status == VRAM_OK) ++opened;
    CHECK(info.status == VRAM_OK ? info.bytes == kBytes : info.status == VRAM_FILE_ERROR && info.error == EXDEV);
  }
  CHECK(opened > 0);
}

TEST("a change of size or modification time is seen") {
  const ModelCache cache;
  const OpenFile file(cache, "blobs/0123");
  const vram_file_info before = file.info();
  REQUIRE_OK(vram_file_stat(file.handle()));
  const vram_file_info same = file.settled();
  CHECK(same.bytes == before.bytes && same.modified_ns == before.modified_ns);
  cache.write("blobs/0123", content(kBytes + 1));
  REQUIRE_OK(vram_file_stat(file.handle()));
  CHECK(file.settled().bytes == kBytes + 1);
}

TEST("a file that is opened again is the same one, although another has its path") {
  const ModelDirectory models;
  models.write("model", content(kBytes));
  models.write("other", std::vector<uint8_t>(kBytes, 1));
  const OpenFile file(models, "model");
  std::filesystem::rename(models.path("other"), models.path("model"));
  uint64_t handle = 0;
  REQUIRE_OK(vram_file_reopen(file.handle(), &handle));
  const OpenFile again(handle);
  CHECK(again.info().status == VRAM_OK && again.info().bytes == kBytes);
  std::vector<uint8_t> bytes(kBytes);
  const vram_file_range range = {0, kBytes, 1000, 0};
  uint64_t read = 0;
  REQUIRE_OK(vram_file_read(again.handle(), &range, bytes.data(), bytes.size(), &read));
  CHECK(read == kBytes && bytes == content(kBytes));
}

TEST("an errno of an open or a read is reported") {
  const ModelDirectory models;
  models.write("fail-open-5", content(kBytes));
  models.write("fail-read-116", content(kBytes));
  check_refused(models, "fail-open-5", VRAM_FILE_ERROR, EIO);
  const Session session;
  const uint64_t load = session.open_load(session.alloc(0, kBytes));
  const OpenFile file(models, "fail-read-116");
  CHECK_STATUS(VRAM_FILE_ERROR, load_whole(load, file, 0, kBytes));
  CHECK(file.info().error == ESTALE);
  CHECK_STATUS(VRAM_FILE_ERROR, vram_file_stat(file.handle()));
  CHECK_STATUS(VRAM_OK, vram_load_close(load));
}

TEST("a read that hangs blocks no call, and continues when it returns") {
  const ModelDirectory models;
  const std::vector<uint8_t> data = content(2 * kMiB + 5);
  models.write("hang-read", data);
  vram_load_result expected = {}, result = {};
  const Session session;
  (void)session.load(0, data, &expected);
  const uint64_t allocation = session.alloc(0, data.size()), load = session.open_load(allocation);
  const OpenFile file(models, "hang-read");
  {
    const Gate gate(models.path("gate"));
    const vram_file_range range = {0, data.size(), 5, 0};
    uint64_t received = 1;
    REQUIRE_OK(vram_load_file(load, file.handle(), &range, &received));
    CHECK(received == 0 && file.info().pending == 1);
    while (vram_oldest_file_call() == 0) std::this_thread::yield();
    REQUIRE_OK(vram_load_file(load, file.handle(), &range, &received));
    CHECK(received == 0);
    CHECK_STATUS(VRAM_BUSY, vram_file_stat(file.handle()));
  }
  (void)file.settled();
  REQUIRE_OK(load_whole(load, file, 0, data.size()));
  REQUIRE_OK(vram_load_finish(load, &result));
  CHECK(std::memcmp(&result, &expected, sizeof(result)) == 0);
  CHECK_STATUS(VRAM_OK, vram_load_close(load));
}

TEST("a load can be closed and its memory freed while a read of its file hangs") {
  const ModelDirectory models;
  models.write("hang-read", content(kBytes));
  models.write("hang-open", content(kBytes));
  const Gate gate(models.path("gate"));
  uint64_t opening = 0;
  REQUIRE_OK(vram_file_open(models.path().c_str(), "hang-open", &opening));
  CHECK_STATUS(VRAM_OK, vram_file_close(opening));
  const Session session;
  const uint64_t allocation = session.alloc(0, kBytes), load = session.open_load(allocation);
  const OpenFile file(models, "hang-read");
  const vram_file_range range = {0, kBytes, 1, 0};
  uint64_t received = 0;
  REQUIRE_OK(vram_load_file(load, file.handle(), &range, &received));
  CHECK_STATUS(VRAM_OK, vram_load_close(load));
  CHECK_STATUS(VRAM_OK, vram_free(allocation));
  // The read may still write to its buffer, so no other load uses that.
  const std::vector<uint8_t> data = content(5 * VRAM_GROUP_BYTES);
  const ModelFile other(data);
  const uint64_t next = session.alloc(0, data.size()), next_load = session.open_load(next);
  REQUIRE_OK(load_whole(next_load, other.file(), 0, data.size()));
  REQUIRE_OK(vram_load_close(next_load));
  CHECK(session.read(next, 0, data.size()) == data);
}

TEST("a thread that hangs holds no descriptor of the process") {
  bool permitted = false;
#ifndef __SANITIZE_THREAD__
  std::thread([&] { permitted = unshare(CLONE_FILES) == 0; }).join();
#endif
  if (!permitted) SKIP("a thread may not leave the descriptor table");
  const ModelDirectory models;
  models.write("model", content(kBytes));
  const OpenFile file(models, "model");
  const int ours = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 500);  // a number that no model file has
  REQUIRE(ours >= 500);
  const std::string name = "/fd/" + std::to_string(ours);
  int tasks_without = 0;
  for (const auto &task : std::filesystem::directory_iterator("/proc/self/task")) {
    struct stat ignored = {};
    if (lstat((task.path().string() + name).c_str(), &ignored) != 0) ++tasks_without;
  }
  (void)close(ours);
  CHECK(tasks_without >= 2);
}

TEST("files that hang do not delay the others") {
  const ModelDirectory models;
  models.write("model", content(kBytes));
  std::vector<uint64_t> hanging;
  const Gate gate(models.path("gate"));
  for (int file = 0; file < 16; ++file) {
    uint64_t handle = 0;
    REQUIRE_OK(vram_file_open(models.path().c_str(), "hang-open", &handle));
    hanging.push_back(handle);
  }
  check_opened(models, "model");
  for (const uint64_t handle : hanging) CHECK_STATUS(VRAM_OK, vram_file_close(handle));
}

TEST("a range of a file is read into memory, also beyond a chunk") {
  const std::vector<uint8_t> data = content(3 * VRAM_GROUP_BYTES + 7);
  const ModelFile file(data);
  for (const uint64_t offset : {uint64_t{0}, uint64_t{5}, uint64_t{VRAM_GROUP_BYTES}, uint64_t{data.size() - 1}}) {
    std::vector<uint8_t> read(data.size() - offset);
    CHECK_STATUS(VRAM_OK, read_whole(file.file(), offset, &read));
    CHECK(std::equal(read.begin(), read.end(), data.begin() + static_cast<std::ptrdiff_t>(offset)));
  }
  std::vector<uint8_t> beyond(2);
  CHECK_STATUS(VRAM_FILE_TOO_SHORT, read_whole(file.file(), data.size() - 1, &beyond));
}

TEST("the target of a link and the list of a folder are files, and a list is bounded") {
  const ModelCache cache;
  cache.link("snapshots/main/dangling", "../../blobs/none");
  cache.link("folder", "snapshots");
  CHECK(content_of(OpenContent::link(cache, "folder/main/model.gguf")) == "../../blobs/0123");
  CHECK(content_of(OpenContent::link(cache, "folder")) == "snapshots");
  CHECK_STATUS(VRAM_NOT_A_FILE, OpenContent::link(cache, "blobs/0123").info().status);
  CHECK(OpenContent::link(cache, "../x").info().error == EXDEV);
  std::string list = content_of(OpenContent::list(cache, "folder", 8));
  CHECK(list.size() == std::string("main/model.gguf").size() + std::string("main/dangling").size() + 2);
  CHECK(content_of(OpenContent::list(cache, "blobs", 1)) == std::string("0123", 5));
  CHECK(OpenContent::list(cache, "", 3).info().error == E2BIG);
  CHECK_STATUS(VRAM_NOT_A_FILE, OpenContent::list(cache, "blobs/0123", 8).info().status);
  CHECK(OpenContent::list(cache, "none", 8).info().error == ENOENT);
}

}  // namespace test
