/** Owns a file descriptor of the file threads, which have a descriptor table of their own. */
#pragma once

#include <unistd.h>

#include <utility>

#include "file_threads.h"

namespace vram {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor() {
    // On another thread the number belongs to something else, so the descriptor is rather left open.
    if (is_open() && on_file_thread()) (void)::close(descriptor_);
  }
  Descriptor(Descriptor &&other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Descriptor &operator=(Descriptor &&other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }

  /** The caller owns the descriptor from now on. */
  int release() { return std::exchange(descriptor_, -1); }

  bool is_open() const { return descriptor_ >= 0; }
  int get() const { return descriptor_; }

 private:
  int descriptor_ = -1;
};

}  // namespace vram
