/** A temporary directory of model files, and open files of it. */
#pragma once

#include <string>
#include <vector>

#include "../include/vram.h"

namespace test {

/** The destructor deletes it, and everything in it. */
class ModelDirectory {
 public:
  ModelDirectory();
  ~ModelDirectory();
  ModelDirectory(const ModelDirectory &) = delete;
  ModelDirectory &operator=(const ModelDirectory &) = delete;

  const std::string &path() const { return path_; }
  std::string path(const std::string &name) const { return path_ + "/" + name; }
  void make(const std::string &directory) const;
  void write(const std::string &name, const std::vector<uint8_t> &data) const;
  void link(const std::string &name, const std::string &target) const;

 private:
  std::string path_;
};

/** An open file. The constructor waits until it is open, or cannot be opened. */
class OpenFile {
 public:
  OpenFile(const ModelDirectory &directory, const std::string &name) : OpenFile(directory.path(), name) {}
  OpenFile(const std::string &directory, const std::string &name);
  /** Takes over a handle, and waits as well. */
  explicit OpenFile(uint64_t handle) : handle_(handle) { (void)settled(); }
  ~OpenFile() { (void)vram_file_close(handle_); }
  OpenFile(const OpenFile &) = delete;
  OpenFile &operator=(const OpenFile &) = delete;

  uint64_t handle() const { return handle_; }
  vram_file_info info() const;
  /** Waits until no call is pending. */
  vram_file_info settled() const;

 private:
  uint64_t handle_ = 0;
};

/** A file with given content, the only one of its directory. */
class ModelFile {
 public:
  explicit ModelFile(const std::vector<uint8_t> &data) : file_(written(data), "model") {}

  uint64_t handle() const { return file_.handle(); }
  const OpenFile &file() const { return file_; }

 private:
  const ModelDirectory &written(const std::vector<uint8_t> &data) const {
    directory_.write("model", data);
    return directory_;
  }

  const ModelDirectory directory_;
  const OpenFile file_;
};

/** Loads bytes of a file, as many calls as it takes. */
vram_status load_whole(uint64_t load, const OpenFile &file, uint64_t offset, uint64_t bytes);

/** Repairs a range from a file, as many calls as it takes. */
vram_status repair_whole(uint64_t allocation, const OpenFile &file, uint64_t offset, uint64_t bytes,
                         const uint8_t *hashes, uint64_t hashes_bytes);

}  // namespace test
