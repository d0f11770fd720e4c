/** The exception of this library. It never leaves the C functions, which turn it into a status. */
#pragma once

#include <cstdint>
#include <string>

#include "../include/vram_attach.h"

namespace vram_attach {

struct Failure {
  vram_attach_status status;
  std::string detail;
  std::string code = "";  // of the worker, with VRAM_ATTACH_REFUSED
  int driver_result = 0;  // with VRAM_ATTACH_DRIVER_ERROR
  bool retriable = false;
  uint64_t retry_after_ms = 0;
};

/** A failure of a system call, by the current errno. */
Failure system_failure(vram_attach_status status, const std::string &action);

inline Failure protocol_error(const std::string &detail) {
  return {VRAM_ATTACH_PROTOCOL_ERROR, detail};
}

}  // namespace vram_attach
