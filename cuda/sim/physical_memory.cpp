#include "physical_memory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace cuda_sim {
namespace {

/** An open, empty, locked file that is its owner's alone; -1 and errno where there is none to be had. */
int open_empty(const std::string &path) {
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0) return -1;
  // Locked before it is emptied: emptying the file of a simulator that runs would kill it.
  if (flock(file, LOCK_EX | LOCK_NB) == 0 && fchmod(file, 0600) == 0 && ftruncate(file, 0) == 0) return file;
  const int error = errno;
  close(file);
  errno = error;
  return -1;
}

/** Sorts by offset and joins neighbours: each extent costs a mapping, of which a process has few. */
void join_neighbours(std::vector<Extent> &extents) {
  std::sort(extents.begin(), extents.end(), [](const Extent &a, const Extent &b) { return a.offset < b.offset; });
  size_t last = 0;
  for (size_t i = 1; i < extents.size(); ++i) {
    if (extents[last].offset + extents[last].bytes == extents[i].offset) {
      extents[last].bytes += extents[i].bytes;
    } else {
      extents[++last] = extents[i];
    }
  }
  if (!extents.empty()) extents.resize(last + 1);
}

}  // namespace

std::unique_ptr<PhysicalMemory> PhysicalMemory::open(int ordinal, uint64_t capacity_bytes, const std::string &directory,
                                                     std::string *out_error) {
  const std::string name = "gpu" + std::to_string(ordinal) + "-memory.vram";
  const bool on_disk = !directory.empty();
  const std::string path = on_disk ? directory + "/" + name : name;
  if (on_disk) (void)mkdir(directory.c_str(), 0700);  // where it can't be made, opening the file says why
  const int file = on_disk ? open_empty(path) : memfd_create(name.c_str(), MFD_CLOEXEC);
  if (file < 0) {
    const bool locked = errno == EWOULDBLOCK;
    *out_error = path + ": " + (locked ? "in use by another simulator" : std::strerror(errno));
    return nullptr;
  }
  void *view = mmap(nullptr, capacity_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
  if (view == MAP_FAILED) {
    *out_error = path + ": " + std::strerror(errno);
    close(file);
    return nullptr;
  }
  auto *const memory = new PhysicalMemory(file, on_disk, capacity_bytes, static_cast<uint8_t *>(view));
  return std::unique_ptr<PhysicalMemory>(memory);
}

PhysicalMemory::~PhysicalMemory() {
  munmap(view_, capacity_bytes_);
  close(file_);
}

bool PhysicalMemory::grow(uint64_t bytes) {
  const auto from = static_cast<off_t>(file_bytes_);
  // On a disk the blocks are taken now: a full disk found out at the first touch would be a SIGBUS.
  const int error = on_disk_ ? posix_fallocate(file_, from, static_cast<off_t>(bytes))
                             : ftruncate(file_, from + static_cast<off_t>(bytes));
  if (error != 0) return false;
  file_bytes_ += bytes;
  return true;
}

CUresult PhysicalMemory::take(uint64_t bytes, std::vector<Extent> *out_extents) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (bytes > capacity_bytes_ - taken_bytes_) return CUDA_ERROR_OUT_OF_MEMORY;

  // The file grows before anything is taken, so that a failure changes nothing.
  const uint64_t idle_bytes = file_bytes_ - taken_bytes_;
  const uint64_t fresh_bytes = bytes > idle_bytes ? bytes - idle_bytes : 0;
  const uint64_t fresh_offset = file_bytes_;
  std::vector<Extent> extents;
  extents.reserve(free_.size() + 1);
  if (fresh_bytes != 0 && !grow(fresh_bytes)) return CUDA_ERROR_OUT_OF_MEMORY;

  uint64_t wanted = bytes - fresh_bytes;
  while (wanted != 0) {
    Extent &top = free_.back();
    const uint64_t part = std::min(wanted, top.bytes);
    extents.push_back({top.offset, part});
    top.offset += part;
    top.bytes -= part;
    if (top.bytes == 0) free_.pop_back();
    wanted -= part;
  }
  if (fresh_bytes != 0) extents.push_back({fresh_offset, fresh_bytes});
  taken_bytes_ += bytes;
  join_neighbours(extents);
  *out_extents = std::move(extents);
  return CUDA_SUCCESS;
}

void PhysicalMemory::give_back(const std::vector<Extent> &extents) {
  const std::lock_guard<std::mutex> lock(mutex_);
  // Backwards, so that the first extent is the first to be taken again.
  for (auto extent = extents.rbegin(); extent != extents.rend(); ++extent) {
    free_.push_back(*extent);
    taken_bytes_ -= extent->bytes;
  }
}

uint64_t PhysicalMemory::free_bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return capacity_bytes_ - taken_bytes_;
}

bool PhysicalMemory::is_whole() const {
  if (!on_disk_) return true;
  const std::lock_guard<std::mutex> lock(mutex_);
  struct stat status;
  return fstat(file_, &status) == 0 && static_cast<uint64_t>(status.st_size) >= file_bytes_;
}

}  // namespace cuda_sim
