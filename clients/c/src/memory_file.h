/** The file whose content is the memory of a shard. Only simulated devices have such files. */
#pragma once

#include <string>

#include "descriptor.h"
#include "failure.h"

namespace vram_attach {

class MemoryFile {
 public:
  /** Opens the file, read-only, if the shard has one part and its descriptor is a file. Otherwise path() throws. */
  explicit MemoryFile(const Descriptors &parts);

  /** A path that opens the file, read-only, in this process. Throws VRAM_ATTACH_NOT_A_FILE or _OUT_OF_MEMORY. */
  const std::string &path() const;

 private:
  Descriptor file_;
  std::string path_;
  Failure reason_ = {VRAM_ATTACH_NOT_A_FILE, ""};  // of path(), unless the file is open
};

}  // namespace vram_attach
