/** The copy streams of a device that no load uses. A load takes one with its first byte, and gives it back when it ends. */
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "copy_stream.h"

namespace vram {

class CopyStreams {
 public:
  explicit CopyStreams(const DriverTable &driver);

  /**
   * Takes an idle stream, or creates one. `out_stream` is set even if that fails: give it back then. As the other functions,
   * it needs the device's context to be current.
   */
  vram_status take(std::unique_ptr<CopyStream> *out_stream);

  /** Keeps a stream, or releases it after its copies. On failure the caller still has it, and can call again. */
  vram_status give_back(std::unique_ptr<CopyStream> *stream);

  /** On failure another call continues where this one stopped. */
  vram_status release();

 private:
  const DriverTable &driver_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<CopyStream>> idle_;
};

}  // namespace vram
