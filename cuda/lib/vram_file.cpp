/** The C functions of files. See vram.cpp. */
#include "directory_content.h"
#include "file_handles.h"
#include "file_threads.h"
#include "open_beneath.h"

using namespace vram;

namespace {

/** Issues the handle of a file that `opener` begins to open. */
vram_status open_file(File::Opener opener, uint64_t *out_file) {
  const auto file = std::make_shared<File>();
  VRAM_TRY(file->open(std::move(opener)));
  *out_file = files().issue(file);
  return VRAM_OK;
}

}  // namespace

vram_status vram_file_open(const char *directory, const char *path, uint64_t *out_file) {
  if (directory == nullptr || path == nullptr || out_file == nullptr) return VRAM_NULL_ARGUMENT;
  return guarded([&] {
    const auto opener = [directory = std::string(directory), path = std::string(path)](Descriptor *file, int *error) {
      return open_beneath(directory, path, Target::kFile, file, error);
    };
    return open_file(opener, out_file);
  });
}

vram_status vram_link_open(const char *directory, const char *path, uint64_t *out_file) {
  if (directory == nullptr || path == nullptr || out_file == nullptr) return VRAM_NULL_ARGUMENT;
  return guarded([&] {
    const auto opener = [directory = std::string(directory), path = std::string(path)](Descriptor *file, int *error) {
      return open_link_content(directory, path, file, error);
    };
    return open_file(opener, out_file);
  });
}

vram_status vram_list_open(const char *directory, const char *path, uint32_t max_entries, uint64_t *out_file) {
  if (directory == nullptr || path == nullptr || out_file == nullptr) return VRAM_NULL_ARGUMENT;
  return guarded([&] {
    const auto opener = [directory = std::string(directory), path = std::string(path), max_entries](Descriptor *file,
                                                                                                    int *error) {
      return open_list_content(directory, path, max_entries, file, error);
    };
    return open_file(opener, out_file);
  });
}

vram_status vram_file_reopen(uint64_t file, uint64_t *out_file) {
  if (out_file == nullptr) return VRAM_NULL_ARGUMENT;
  return with_file(file, [&](File &object) {
    const auto opener = [original = object.shared_from_this()](Descriptor *duplicate, int *error) {
      return original->duplicate(duplicate, error);
    };
    return open_file(opener, out_file);
  });
}

vram_status vram_file_read(uint64_t file, const vram_file_range *range, uint8_t *out_bytes, uint64_t out_size,
                           uint64_t *out_read) {
  if (range == nullptr || out_bytes == nullptr || out_read == nullptr) return VRAM_NULL_ARGUMENT;
  if (range->bytes > out_size) return VRAM_BUFFER_TOO_SMALL;
  if (range->wait_ms > INT32_MAX) return VRAM_OUT_OF_BOUNDS;
  if (range->offset > UINT64_MAX - range->bytes) return VRAM_OVERFLOW;
  return with_file(file, [&](File &object) {
    const auto deadline = File::Clock::now() + std::chrono::milliseconds(range->wait_ms);
    return object.read(range->offset, range->offset + range->bytes, out_bytes, range->bytes, deadline, out_read);
  });
}

vram_status vram_file_stat(uint64_t file) {
  return with_file(file, [](File &object) { return object.stat(); });
}

vram_status vram_file_get_info(uint64_t file, vram_file_info *out_info) {
  if (out_info == nullptr) return VRAM_NULL_ARGUMENT;
  return with_file(file, [&](File &object) {
    object.get_info(out_info);
    return VRAM_OK;
  });
}

vram_status vram_file_close(uint64_t file) {
  const vram_status status = with_file(file, [&](File &object) {
    object.close();
    files().retire(file);
    return VRAM_OK;
  });
  return status == VRAM_STALE_HANDLE ? VRAM_OK : status;
}

uint64_t vram_oldest_file_call(void) {
  return oldest_file_call();
}
