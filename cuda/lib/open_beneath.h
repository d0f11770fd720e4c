/** Opens files that are provably beneath a directory. */
#pragma once

#include <string>

#include "../include/vram.h"
#include "descriptor.h"

namespace vram {

/**
 * Opens the regular file `path` beneath `directory`, for reading. Follows symbolic links that stay beneath it, absolute
 * ones too. Neither a link, `..` nor a race leads outside. May block for as long as the file system does.
 *
 * VRAM_DIRECTORY_ERROR if the directory cannot be opened, VRAM_FILE_ERROR if the file cannot, both with the errno in
 * *out_error; VRAM_NOT_A_FILE if it is not a regular file. Throws std::bad_alloc.
 */
vram_status open_beneath(const std::string &directory, const std::string &path, Descriptor *out_file, int *out_error);

}  // namespace vram
