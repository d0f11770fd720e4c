#include "memory_file.h"

#include <fcntl.h>
#include <sys/stat.h>

namespace vram_attach {
namespace {

std::string path_of(int descriptor) {
  return "/proc/self/fd/" + std::to_string(descriptor);
}

}  // namespace

MemoryFile::MemoryFile(const Descriptors &parts) {
  if (parts.size() != 1) {
    reason_.detail = "the shard has " + std::to_string(parts.size()) + " parts, and only one part can be one file";
    return;
  }
  struct stat status = {};
  // The descriptors of NVIDIA's driver are devices.
  if (fstat(parts[0].get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    reason_.detail = "the memory of this driver is not a file; only simulated memory is";
    return;
  }
  // A second description of the file. A copy of the descriptor would also allow writes.
  file_ = Descriptor(open(path_of(parts[0].get()).c_str(), O_RDONLY | O_CLOEXEC));
  if (file_.is_open()) {
    path_ = path_of(file_.get());
  } else {
    reason_ = system_failure(VRAM_ATTACH_NOT_A_FILE, "open " + path_of(parts[0].get()));
    reason_.retriable = false;  // the part's descriptor is closed after the attach
  }
}

const std::string &MemoryFile::path() const {
  if (!file_.is_open()) throw reason_;
  return path_;
}

}  // namespace vram_attach
