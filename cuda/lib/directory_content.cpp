#include "directory_content.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "open_beneath.h"
#include "status.h"

namespace vram {
namespace {

/** Returns an errno. */
int make_file(const std::string &content, Descriptor *out_file) {
  Descriptor file(memfd_create("vram-content", MFD_CLOEXEC));
  if (!file.is_open()) return errno;
  for (size_t done = 0; done < content.size();) {
    const ssize_t written = write(file.get(), content.data() + done, content.size() - done);
    if (written < 0 && errno != EINTR) return errno;
    if (written > 0) done += static_cast<size_t>(written);
  }
  *out_file = std::move(file);
  return 0;
}

struct CloseDirectory {
  void operator()(DIR *directory) const { (void)closedir(directory); }
};

/** The type of an entry as in stat(2), or 0 if it has gone. Some file systems do not put it into the entry. */
mode_t type_of(int directory, const dirent &entry) {
  if (entry.d_type != DT_UNKNOWN) return static_cast<mode_t>(DTTOIF(entry.d_type));
  struct stat status = {};
  return fstatat(directory, entry.d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 ? status.st_mode & S_IFMT : 0;
}

class Lister {
 public:
  Lister(const Descriptor &root, uint32_t max_entries) : root_(root), left_(max_entries) {}

  /** Returns an errno. */
  int run(std::string *out_list) {
    for (folders_.emplace_back(); !folders_.empty();) {
      const std::string folder = std::move(folders_.back());
      folders_.pop_back();
      if (const int error = list(folder, out_list); error != 0) return error;
    }
    return 0;
  }

 private:
  int list(const std::string &folder, std::string *out_list) {
    Descriptor opened;
    const int flags = O_RDONLY | O_DIRECTORY;
    if (const int error = open_without_links(root_.get(), folder.empty() ? "." : folder, flags, &opened); error != 0) {
      return error;
    }
    const std::unique_ptr<DIR, CloseDirectory> directory(fdopendir(opened.get()));
    if (directory == nullptr) return errno;
    (void)opened.release();  // closedir() closes it
    for (;;) {
      errno = 0;
      const dirent *const entry = readdir(directory.get());
      if (entry == nullptr) return errno;
      const std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (left_-- == 0) return E2BIG;
      const std::string path = folder.empty() ? name : folder + "/" + name;
      const mode_t type = type_of(dirfd(directory.get()), *entry);
      if (type == S_IFDIR) folders_.push_back(path);
      if (type == S_IFREG || type == S_IFLNK) out_list->append(path).push_back('\0');
    }
  }

  const Descriptor &root_;
  uint32_t left_;
  std::vector<std::string> folders_;  // to be listed, from the root
};

}  // namespace

vram_status open_link_content(const std::string &directory, const std::string &path, Descriptor *out_file,
                              int *out_error) {
  Descriptor link;
  std::string target;
  VRAM_TRY(open_beneath(directory, path, Target::kLink, &link, out_error));
  *out_error = read_link(link, &target);
  if (*out_error == 0) *out_error = make_file(target, out_file);
  return *out_error == 0 ? VRAM_OK : VRAM_FILE_ERROR;
}

vram_status open_list_content(const std::string &directory, const std::string &path, uint32_t max_entries,
                              Descriptor *out_file, int *out_error) {
  Descriptor folder;
  std::string list;
  VRAM_TRY(open_beneath(directory, path, Target::kDirectory, &folder, out_error));
  *out_error = Lister(folder, max_entries).run(&list);
  if (*out_error == 0) *out_error = make_file(list, out_file);
  return *out_error == 0 ? VRAM_OK : VRAM_FILE_ERROR;
}

}  // namespace vram
