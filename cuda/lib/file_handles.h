/** The handles of files, which belong to no driver. */
#pragma once

#include "file.h"
#include "guarded.h"
#include "handles.h"
#include "status.h"

namespace vram {

inline Handles<File, HandleKind::kFile> &files() {
  return registry<File, HandleKind::kFile>();
}

/** Calls call(file), which returns a status. */
template <typename Call>
vram_status with_file(uint64_t handle, Call call) noexcept {
  return guarded([&]() -> vram_status {
    std::shared_ptr<File> file;
    VRAM_TRY(files().find(handle, &file));
    return call(*file);
  });
}

}  // namespace vram
