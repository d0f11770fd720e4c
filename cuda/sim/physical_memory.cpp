#include "physical_memory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "shared_memory.h"

namespace cuda_sim {
namespace {

/** Opens a file with mode 0600, locks it and truncates it. Returns -1 and sets errno on failure. */
int open_truncated(const std::string &path) {
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0) return -1;
  // Lock first: truncating the file of a running simulator would kill its process.
  if (flock(file, LOCK_EX | LOCK_NB) == 0 && fchmod(file, 0600) == 0 && ftruncate(file, 0) == 0) return file;
  const int error = errno;
  close(file);
  errno = error;
  return -1;
}

/** Sorts by offset and merges adjacent extents. Each extent takes a mapping, and a process has a limited number. */
void merge_adjacent(std::vector<Extent> &extents) {
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

std::unique_ptr<PhysicalMemory> PhysicalMemory::open(int index, uint64_t capacity_bytes, const std::string &directory,
                                                     std::string *out_error) {
  const std::string name = "gpu" + std::to_string(index) + "-memory.vram";
  const bool is_on_disk = !directory.empty();
  const std::string path = is_on_disk ? directory + "/" + name : name;
  if (is_on_disk) (void)mkdir(directory.c_str(), 0700);  // if this fails, opening the file reports why
  const int file = is_on_disk ? open_truncated(path) : memfd_create(name.c_str(), MFD_CLOEXEC);
  if (file < 0) {
    const bool locked = errno == EWOULDBLOCK;
    *out_error = path + (locked ? " is in use by another simulator" : std::string(": ") + std::strerror(errno));
    return nullptr;
  }
  if (is_on_disk) delete_shared_files(index, directory);  // the lock is held, so their process is gone
  void *view = mmap(nullptr, capacity_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file, 0);
  if (view == MAP_FAILED) {
    *out_error = path + ": " + std::strerror(errno);
    close(file);
    return nullptr;
  }
  auto *const memory = new PhysicalMemory(file, directory, capacity_bytes, static_cast<uint8_t *>(view));
  return std::unique_ptr<PhysicalMemory>(memory);
}

PhysicalMemory::~PhysicalMemory() {
  munmap(view_, capacity_bytes_);
  close(file_);
}

bool PhysicalMemory::grow(uint64_t bytes) {
  const auto from = static_cast<off_t>(file_bytes_);
  // On disk, allocate the blocks now. If the disk were full at the first access, that would raise SIGBUS.
  const int error = is_on_disk() ? posix_fallocate(file_, from, static_cast<off_t>(bytes))
                                 : ftruncate(file_, from + static_cast<off_t>(bytes));
  if (error != 0) return false;
  file_bytes_ += bytes;
  return true;
}

CUresult PhysicalMemory::allocate(uint64_t bytes, std::vector<Extent> *out_extents) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (bytes > available_bytes()) return CUDA_ERROR_OUT_OF_MEMORY;

  // Grow the file first, so that a failure changes nothing.
  const uint64_t reusable_bytes = file_bytes_ - allocated_bytes_;
  const uint64_t new_bytes = bytes > reusable_bytes ? bytes - reusable_bytes : 0;
  const uint64_t new_offset = file_bytes_;
  std::vector<Extent> extents;
  extents.reserve(free_.size() + 1);
  if (new_bytes != 0 && !grow(new_bytes)) return CUDA_ERROR_OUT_OF_MEMORY;

  uint64_t remaining = bytes - new_bytes;
  while (remaining != 0) {
    Extent &top = free_.back();
    const uint64_t part = std::min(remaining, top.bytes);
    extents.push_back({top.offset, part});
    top.offset += part;
    top.bytes -= part;
    if (top.bytes == 0) free_.pop_back();
    remaining -= part;
  }
  if (new_bytes != 0) extents.push_back({new_offset, new_bytes});
  allocated_bytes_ += bytes;
  merge_adjacent(extents);
  *out_extents = std::move(extents);
  return CUDA_SUCCESS;
}

void PhysicalMemory::release(const std::vector<Extent> &extents) {
  const std::lock_guard<std::mutex> lock(mutex_);
  // In reverse order, so that the first extent is reused first.
  for (auto extent = extents.rbegin(); extent != extents.rend(); ++extent) {
    free_.push_back(*extent);
    allocated_bytes_ -= extent->bytes;
  }
}

uint64_t PhysicalMemory::free_bytes() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return available_bytes();
}

uint64_t PhysicalMemory::available_bytes() const {
  const uint64_t used_bytes = allocated_bytes_ + charged_bytes_;
  return used_bytes < capacity_bytes_ ? capacity_bytes_ - used_bytes : 0;
}

bool PhysicalMemory::charge(uint64_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (bytes > available_bytes()) return false;
  charged_bytes_ += bytes;
  return true;
}

void PhysicalMemory::charge_imported(uint64_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  charged_bytes_ += bytes;
}

void PhysicalMemory::discharge(uint64_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  charged_bytes_ -= bytes;
}

bool PhysicalMemory::is_intact() const {
  if (!is_on_disk()) return true;
  const std::lock_guard<std::mutex> lock(mutex_);
  struct stat status;
  return fstat(file_, &status) == 0 && static_cast<uint64_t>(status.st_size) >= file_bytes_;
}

}  // namespace cuda_sim
