#include "open_beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <vector>

#include "status.h"

namespace vram {

/** Such a path has no `..`, for which openat2(2) returns EAGAIN while anything is renamed. glibc has no wrapper of it. */
int open_without_links(int directory, const std::string &path, int flags, Descriptor *out_descriptor) {
  open_how how = {};
  how.flags = static_cast<uint64_t>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  for (;;) {
    const long descriptor = syscall(SYS_openat2, directory, path.c_str(), &how, sizeof(how));
    if (descriptor >= 0) {
      *out_descriptor = Descriptor(static_cast<int>(descriptor));
      return 0;
    }
    if (errno != EINTR) return errno == ELOOP ? EAGAIN : errno;
  }
}

int read_link(const Descriptor &link, std::string *out_target) {
  char target[PATH_MAX];
  const ssize_t bytes = readlinkat(link.get(), "", target, sizeof(target));
  if (bytes < 0) return errno;
  if (bytes == sizeof(target)) return ENAMETOOLONG;
  out_target->assign(target, static_cast<size_t>(bytes));
  return bytes == 0 ? ENOENT : 0;
}

namespace {

using Names = std::vector<std::string>;

/** What a path of a target names, and the flags that open it. Opening a device can have effects, so a file is checked. */
mode_t type_of(Target target) {
  return target == Target::kFile ? S_IFREG : target == Target::kLink ? S_IFLNK : S_IFDIR;
}

int flags_of(Target target) {
  if (target == Target::kFile) return O_RDONLY | O_NONBLOCK | O_NOCTTY;
  return target == Target::kLink ? O_PATH | O_NOFOLLOW : O_RDONLY | O_DIRECTORY;
}

constexpr int kMaxLinks = 40;  // as the kernel: path_resolution(7)
constexpr int kTries = 64;
constexpr long kRetryNs = 1'000'000;

/** The components of a path. A slash at its end requires a directory, as `/.` does. */
Names split(const std::string &path) {
  Names names;
  for (size_t start = 0; start < path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    if (end > start) names.push_back(path.substr(start, end - start));
    start = end + 1;
  }
  if (!path.empty() && path.back() == '/') names.emplace_back(".");
  return names;
}

std::string join(const Names &names) {
  std::string path;
  for (const std::string &name : names) path += path.empty() ? name : "/" + name;
  return path;
}

int get_status(const Descriptor &descriptor, struct stat *out_status) {
  return fstat(descriptor.get(), out_status) == 0 ? 0 : errno;
}

/** Resolves the links of a path, component by component, to a path without links. */
class Resolver {
 public:
  Resolver(int root, const std::string &path, Target target) : root_(root), target_(target) { push(split(path)); }

  /** Returns an errno. *out_type is the type of the file that resolved() names, as in stat(2). */
  int resolve(mode_t *out_type) {
    *out_type = S_IFDIR;
    while (!rest_.empty()) {
      const std::string name = std::move(rest_.back());
      rest_.pop_back();
      if (name == ".") continue;
      if (name != "..") {
        if (const int error = enter(name, out_type); error != 0) return error;
      } else {
        // A resolved name is not a link, so its parent is the name before it.
        if (resolved_.empty()) return EXDEV;
        resolved_.pop_back();
        *out_type = S_IFDIR;
      }
    }
    return 0;
  }

  std::string resolved() const { return join(resolved_); }

 private:
  void push(const Names &names) { rest_.insert(rest_.end(), names.rbegin(), names.rend()); }

  int enter(const std::string &name, mode_t *out_type) {
    resolved_.push_back(name);
    Descriptor found;
    struct stat status = {};
    int error = open_without_links(root_, resolved(), O_PATH | O_NOFOLLOW, &found);
    if (error == 0) error = get_status(found, &status);
    if (error != 0) return error;
    *out_type = status.st_mode & S_IFMT;
    if (S_ISLNK(status.st_mode) && !(target_ == Target::kLink && rest_.empty())) {
      resolved_.pop_back();
      return follow(found);
    }
    return rest_.empty() || S_ISDIR(status.st_mode) ? 0 : ENOTDIR;
  }

  int follow(const Descriptor &link) {
    if (++links_ > kMaxLinks) return ELOOP;
    std::string target;
    if (const int error = read_link(link, &target); error != 0) return error;
    if (target[0] != '/') {
      push(split(target));
      return 0;
    }
    Names names = split(target);
    if (!strip_root(&names)) return EXDEV;
    resolved_.clear();
    push(names);
    return 0;
  }

  /** Removes the longest prefix that names the root directory, by any of its paths. False if there is none. */
  bool strip_root(Names *names) const {
    struct stat root = {};
    if (fstat(root_, &root) != 0) return false;
    bool is_beneath = false;
    size_t rest = 0;
    std::string prefix = "/";
    for (size_t count = 0; count <= names->size(); ++count) {
      struct stat status = {};
      if (stat(prefix.c_str(), &status) != 0) break;
      if (status.st_dev == root.st_dev && status.st_ino == root.st_ino) {
        is_beneath = true;
        rest = count;
      }
      if (count < names->size()) prefix += "/" + (*names)[count];
    }
    names->erase(names->begin(), names->begin() + static_cast<std::ptrdiff_t>(rest));
    return is_beneath;
  }

  const int root_;
  const Target target_;
  Names resolved_;  // from the root; no links
  Names rest_;      // not yet resolved, last component first
  int links_ = 0;
};

vram_status try_open(int root, const std::string &path, Target target, Descriptor *out_file, int *out_error) {
  mode_t type = 0;
  Resolver resolver(root, path, target);
  *out_error = path[0] == '/' ? EXDEV : resolver.resolve(&type);
  if (*out_error != 0) return VRAM_FILE_ERROR;
  if (type != type_of(target)) return VRAM_NOT_A_FILE;
  Descriptor file;
  struct stat status = {};
  const std::string resolved = resolver.resolved();
  *out_error = open_without_links(root, resolved.empty() ? "." : resolved, flags_of(target), &file);
  if (*out_error == 0) *out_error = get_status(file, &status);
  if (*out_error != 0) return VRAM_FILE_ERROR;
  if ((status.st_mode & S_IFMT) != type) return VRAM_NOT_A_FILE;  // it was replaced since
  if (target == Target::kFile) (void)fcntl(file.get(), F_SETFL, 0);
  *out_file = std::move(file);
  return VRAM_OK;
}

}  // namespace

vram_status open_beneath(const std::string &directory, const std::string &path, Target target, Descriptor *out_file,
                         int *out_error) {
  const Descriptor root(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.is_open()) {
    *out_error = errno;
    return VRAM_DIRECTORY_ERROR;
  }
  for (int tries = 1;; ++tries) {
    const vram_status status = try_open(root.get(), path, target, out_file, out_error);
    const bool is_transient = *out_error == EAGAIN || *out_error == ESTALE;
    if (status != VRAM_FILE_ERROR || !is_transient || tries == kTries) return status;
    const timespec pause = {0, kRetryNs};
    (void)nanosleep(&pause, nullptr);
  }
}

}  // namespace vram
