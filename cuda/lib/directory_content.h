/** Links and lists of a directory, as files in memory. A reader needs no other function than for a file. */
#pragma once

#include <cstdint>
#include <string>

#include "../include/vram.h"
#include "descriptor.h"

namespace vram {

/** Makes a file of the target of a link beneath a directory. Fails as open_beneath() does. */
vram_status open_link_content(const std::string &directory, const std::string &path, Descriptor *out_file,
                              int *out_error);

/**
 * Makes a file of the paths of all files and links below a folder, relative to it, each with a NUL behind it. Links are
 * not followed. Fails as open_beneath() does; the errno is E2BIG if more than `max_entries` names are found.
 */
vram_status open_list_content(const std::string &directory, const std::string &path, uint32_t max_entries,
                              Descriptor *out_file, int *out_error);

}  // namespace vram
