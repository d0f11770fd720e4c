/** File descriptors that this library owns, and their transfer over Unix sockets (SCM_RIGHTS, unix(7)). */
#pragma once

#include <vector>

#include "status.h"

namespace vram {

/** Closes its descriptors at the end of its scope. */
class Descriptors {
 public:
  Descriptors() = default;
  ~Descriptors() { clear(); }
  Descriptors(const Descriptors &) = delete;
  Descriptors &operator=(const Descriptors &) = delete;

  /** Room for `count` descriptors, so that add() cannot fail. */
  void reserve(size_t count) { numbers_.reserve(count); }
  /** Takes a descriptor, and keeps it out of programs that this process executes. */
  void add(int descriptor);
  void clear();
  /** Gives the descriptors to the caller. */
  std::vector<int> take();
  const std::vector<int> &numbers() const { return numbers_; }

 private:
  std::vector<int> numbers_;
};

/**
 * Sends bytes, with the descriptors attached to the first one. Never blocks. `*out_sent` receives how many bytes the
 * socket took, at least 1. VRAM_WOULD_BLOCK if it took none; VRAM_SOCKET_CLOSED if the connection failed.
 */
vram_status send_with_descriptors(int socket, const void *data, uint64_t bytes, const std::vector<int> &descriptors,
                                  uint64_t *out_sent);

/** The largest result of a receive. */
struct ReceiveLimits {
  uint64_t bytes;
  uint32_t descriptors;
};

/** Receives bytes and the descriptors that came with them; see vram_receive. Never blocks. */
vram_status receive_with_descriptors(int socket, void *buffer, const ReceiveLimits &limits,
                                     Descriptors &out_descriptors, vram_received *out_received);

}  // namespace vram
