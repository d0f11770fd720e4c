/** The C functions of files. See vram.cpp. */
#include "file_handles.h"
#include "file_threads.h"

using namespace vram;

vram_status vram_file_open(const char *directory, const char *path, uint64_t *out_file) {
  if (directory == nullptr || path == nullptr || out_file == nullptr) return VRAM_NULL_ARGUMENT;
  return guarded([&]() -> vram_status {
    const auto file = std::make_shared<File>();
    VRAM_TRY(file->open(directory, path));
    *out_file = files().issue(file);
    return VRAM_OK;
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
