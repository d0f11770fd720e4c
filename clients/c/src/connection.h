/** A connection to the worker's socket: sends frames, and receives frames and descriptors. */
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "descriptor.h"
#include "frame.h"

namespace vram_attach {

/** When a wait ends. */
class Deadline {
 public:
  explicit Deadline(uint64_t ms) : end_(Clock::now() + std::chrono::milliseconds(ms)) {}
  /** Milliseconds left, rounded up; 0 if it has passed. */
  int left_ms() const;

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point end_;
};

class Connection {
 public:
  /** Connects. Throws VRAM_ATTACH_NOT_CONNECTED, or VRAM_ATTACH_TIMED_OUT if the worker's queue stays full. */
  Connection(const std::string &path, const Deadline &deadline);

  /** For poll(): readable when receive() has work. */
  int descriptor() const { return socket_.get(); }

  /** Throws VRAM_ATTACH_NOT_CONNECTED or VRAM_ATTACH_TIMED_OUT. After a failure the connection cannot be used. */
  void send(const Frame &frame, const Deadline &deadline);

  /** Waits until receive() has work. Throws VRAM_ATTACH_TIMED_OUT. */
  void wait(const Deadline &deadline) const;

  /** Reads what has arrived, without waiting. Throws VRAM_ATTACH_NOT_CONNECTED at the end of the connection. */
  void receive();

  /** Whether a part of the next frame has arrived. */
  bool is_mid_frame() const { return !buffer_.empty(); }
  /** The next complete frame. Throws VRAM_ATTACH_PROTOCOL_ERROR. */
  std::optional<Frame> next_frame();

  /** The first `count` descriptors that have arrived, or all if fewer have. */
  Descriptors take_descriptors(size_t count);
  /** Closes descriptors that came with none of the frames taken so far. Returns whether there were any. */
  bool drop_strays();
  /** Whether the kernel dropped descriptors since the last call, because this process may not open more. */
  bool take_lost() { return std::exchange(lost_descriptors_, false); }

 private:
  Descriptor socket_;
  std::string buffer_;
  Descriptors descriptors_;
  bool lost_descriptors_ = false;
};

}  // namespace vram_attach
