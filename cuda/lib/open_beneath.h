/** Opens files that are provably beneath a directory. */
#pragma once

#include <string>

#include "../include/vram.h"
#include "descriptor.h"

namespace vram {

/** What a path must name. A link is opened itself, with O_PATH; the links before it are followed. */
enum class Target { kFile, kDirectory, kLink };

/**
 * Opens `path` beneath `directory`, for reading. Follows symbolic links that stay beneath it, absolute ones too. Neither
 * a link, `..` nor a race leads outside. May block for as long as the file system does.
 *
 * VRAM_DIRECTORY_ERROR if the directory cannot be opened, VRAM_FILE_ERROR if the path cannot, both with the errno in
 * *out_error; VRAM_NOT_A_FILE if it does not name the target. Throws std::bad_alloc.
 */
vram_status open_beneath(const std::string &directory, const std::string &path, Target target, Descriptor *out_file,
                         int *out_error);

/**
 * Opens a path below a directory whose components were seen not to be links. Returns an errno: EAGAIN if one has become a
 * link since.
 */
int open_without_links(int directory, const std::string &path, int flags, Descriptor *out_descriptor);

/** Reads a link that Target::kLink opened. Returns an errno. */
int read_link(const Descriptor &link, std::string *out_target);

}  // namespace vram
