/**
 * Memory that other processes can map: each exportable allocation has a file of its own. A copy of its descriptor is
 * what CUDA calls a shareable handle. The host frees the memory when the last descriptor and the last mapping are gone.
 *
 * The file is a memfd named after its device's UUID. Seals keep its size, because a truncated file would end every
 * process that reads it. With CUDA_SIM_DIR it is instead the file gpuN-<n>.vram, which tests can damage.
 */
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace cuda_sim {

/** Device and inode number: what identifies a file among those that are open. */
using FileId = std::pair<dev_t, ino_t>;

/** The properties of exported memory that its descriptor shows. */
struct SharedFile {
  int index; /* of its device */
  uint64_t bytes;
  FileId id;

  /** Empty if the descriptor is not exported memory, or if its holder could truncate the memory. */
  static std::optional<SharedFile> identify(int descriptor);
};

class SharedMemory {
 public:
  /** Creates whole granules of device `index`, in a file of `directory` or anonymous. Null if the host refuses. */
  static std::unique_ptr<SharedMemory> create(int index, uint64_t bytes, const std::string &directory);
  /** Opens imported memory. Keeps a copy of the descriptor. Null if the host refuses. */
  static std::unique_ptr<SharedMemory> open(int descriptor, const SharedFile &file);
  ~SharedMemory();
  SharedMemory(const SharedMemory &) = delete;
  SharedMemory &operator=(const SharedMemory &) = delete;

  int file() const { return file_; }
  /** The whole file, mapped at one host address that is not a device address. */
  uint8_t *view() const { return view_; }
  uint64_t bytes() const { return bytes_; }
  FileId id() const;

  /** False if another process has truncated the file. */
  bool is_intact() const;

 private:
  SharedMemory(int file, uint64_t bytes, uint8_t *view, std::string path)
      : file_(file), bytes_(bytes), view_(view), path_(std::move(path)) {}
  /** Maps a file, and takes its descriptor. `path` is deleted with the object, if it is not empty. */
  static std::unique_ptr<SharedMemory> map(int file, uint64_t bytes, std::string path);

  const int file_;
  const uint64_t bytes_;
  uint8_t *const view_;
  const std::string path_;
};

/** Deletes the files that an earlier process left in a directory. Other processes can still use their memory. */
void delete_shared_files(int index, const std::string &directory);

}  // namespace cuda_sim
