#include "shared_memory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>

#include "device.h"
#include "parse.h"

namespace cuda_sim {
namespace {

constexpr char kMemfdPrefix[] = "/memfd:cuda_sim:";
constexpr std::string_view kDeleted = " (deleted)";
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

/** Removes a prefix or suffix. False if the text does not have it. */
bool remove_prefix(std::string_view &text, std::string_view prefix) {
  if (text.substr(0, prefix.size()) != prefix) return false;
  text.remove_prefix(prefix.size());
  return true;
}
bool remove_suffix(std::string_view &text, std::string_view suffix) {
  if (text.size() < suffix.size() || text.substr(text.size() - suffix.size()) != suffix) return false;
  text.remove_suffix(suffix.size());
  return true;
}

/** The path of an open file, as the kernel shows it. */
std::string path_of(int descriptor) {
  char path[4096];
  const ssize_t bytes = readlink(("/proc/self/fd/" + std::to_string(descriptor)).c_str(), path, sizeof(path));
  return bytes > 0 ? std::string(path, static_cast<size_t>(bytes)) : "";
}

/** The index in "gpuN-<n>.vram". */
std::optional<int> index_of_file(std::string_view name) {
  if (!remove_prefix(name, "gpu") || !remove_suffix(name, ".vram")) return std::nullopt;
  const size_t dash = name.find('-');
  if (dash == std::string_view::npos || !parse_number(name.substr(dash + 1))) return std::nullopt;
  const std::optional<uint64_t> index = parse_number(name.substr(0, dash));
  return index && *index < kMaxDevices ? std::optional<int>(static_cast<int>(*index)) : std::nullopt;
}

/** The index of the device whose UUID names a memfd. */
std::optional<int> index_of_memfd(std::string_view name) {
  for (int index = 0; index < static_cast<int>(kMaxDevices); ++index) {
    if (name == device_uuid_text(index)) return index;
  }
  return std::nullopt;
}

std::optional<int> index_of(int descriptor) {
  const std::string path = path_of(descriptor);
  std::string_view name = path;
  (void)remove_suffix(name, kDeleted);
  if (remove_prefix(name, kMemfdPrefix)) {
    return (fcntl(descriptor, F_GET_SEALS) & kSeals) == kSeals ? index_of_memfd(name) : std::nullopt;
  }
  return index_of_file(name.substr(name.rfind('/') + 1));
}

/** Returns -1 if the host refuses. */
int create_memfd(int index, uint64_t bytes) {
  const std::string name = "cuda_sim:" + device_uuid_text(index);
  const int file = memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (file < 0) return -1;
  if (ftruncate(file, static_cast<off_t>(bytes)) == 0 && fcntl(file, F_ADD_SEALS, kSeals) == 0) return file;
  close(file);
  return -1;
}

/** Returns -1 if the host refuses. */
int create_file(const std::string &path, uint64_t bytes) {
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0) return -1;
  // Allocate the blocks now. If the disk were full at the first access, that would raise SIGBUS.
  if (posix_fallocate(file, 0, static_cast<off_t>(bytes)) == 0) return file;
  close(file);
  unlink(path.c_str());
  return -1;
}

}  // namespace

std::optional<SharedFile> SharedFile::identify(int descriptor) {
  struct stat status;
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  const std::optional<int> index = index_of(descriptor);
  const auto bytes = static_cast<uint64_t>(status.st_size);
  if (!index || !is_whole_granules(bytes)) return std::nullopt;
  return SharedFile{*index, bytes, {status.st_dev, status.st_ino}};
}

std::unique_ptr<SharedMemory> SharedMemory::create(int index, uint64_t bytes, const std::string &directory) {
  if (directory.empty()) {
    const int file = create_memfd(index, bytes);
    return file < 0 ? nullptr : map(file, bytes, "");
  }
  static std::atomic<uint64_t> next{0};
  const std::string number = std::to_string(next.fetch_add(1));
  const std::string path = directory + "/gpu" + std::to_string(index) + "-" + number + ".vram";
  const int file = create_file(path, bytes);
  return file < 0 ? nullptr : map(file, bytes, path);
}

std::unique_ptr<SharedMemory> SharedMemory::open(int descriptor, const SharedFile &file) {
  const int copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  return copy < 0 ? nullptr : map(copy, file.bytes, "");
}

std::unique_ptr<SharedMemory> SharedMemory::map(int file, uint64_t bytes, std::string path) {
  void *view = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
  if (view == MAP_FAILED) {
    close(file);
    if (!path.empty()) unlink(path.c_str());
    return nullptr;
  }
  return std::unique_ptr<SharedMemory>(new SharedMemory(file, bytes, static_cast<uint8_t *>(view), std::move(path)));
}

SharedMemory::~SharedMemory() {
  munmap(view_, bytes_);
  close(file_);
  if (!path_.empty()) unlink(path_.c_str());
}

FileId SharedMemory::id() const {
  struct stat status = {};
  (void)fstat(file_, &status);
  return {status.st_dev, status.st_ino};
}

bool SharedMemory::is_intact() const {
  struct stat status;
  return fstat(file_, &status) == 0 && static_cast<uint64_t>(status.st_size) >= bytes_;
}

void delete_shared_files(int index, const std::string &directory) {
  DIR *const entries = opendir(directory.c_str());
  if (entries == nullptr) return;
  while (const dirent *entry = readdir(entries)) {
    if (index_of_file(entry->d_name) == index) unlink((directory + "/" + entry->d_name).c_str());
  }
  closedir(entries);
}

}  // namespace cuda_sim
