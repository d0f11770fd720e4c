/**
 * The conversation with a worker: requests and their answers, and the connection, which is made again after it ended.
 * A session does no work of its own. Its owner calls it when descriptor() is readable.
 */
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "connection.h"

namespace vram_attach {

struct Options {
  std::string socket_path;
  std::string client_name;
  std::string token;
  uint32_t timeout_ms;
};

/** What `welcome` said. */
struct Worker {
  std::string worker_id;
  std::string boot_id;
  std::string driver;
  bool simulated = false;
};

/** What a session tells its owner. */
class SessionObserver {
 public:
  virtual ~SessionObserver() = default;
  /** The worker has answered `hello`. */
  virtual void on_welcome() = 0;
  /** The connection ended. */
  virtual void on_disconnect() = 0;
  /** A frame that is not the answer that ask() waits for: an event, the answer to tell(), or one that came too late. */
  virtual void on_frame(const Frame &frame) = 0;
  /** The time of wake_after() has come. */
  virtual void on_wake() = 0;
};

class Session {
 public:
  Session(Options options, SessionObserver &observer);

  /** Readable when pump() has work, or when set_pending(true) was called. */
  int descriptor() const { return epoll_.get(); }
  bool is_ready() const { return state_ == State::kReady; }
  const Worker &worker() const { return worker_; }

  /** Connects and waits for the welcome, unless the connection is up. Throws. */
  void ensure_ready(const Deadline &deadline);
  Deadline deadline() const { return Deadline(options_.timeout_ms); }

  /**
   * Sends a request and waits for its answer. Throws VRAM_ATTACH_REFUSED if that is an error, and other failures. After
   * VRAM_ATTACH_TIMED_OUT the connection stays, and on_frame() gets the answer, unless a part of a frame has arrived.
   */
  Frame ask(Frame request, const char *answer_type, const Deadline &deadline);
  /** Sends a request. Returns its id; on_frame() gets the answer. If the connection ends, returns 0. */
  uint64_t tell(Frame request);
  /**
   * The descriptors of the `attached` frame that ask() returned, one for each `part` line. Throws
   * VRAM_ATTACH_DESCRIPTORS_LOST or VRAM_ATTACH_PROTOCOL_ERROR if their number is wrong.
   */
  Descriptors take_descriptors();
  /** Calls on_wake() from a later pump(), if the connection is still up. */
  void wake_after(uint64_t ms) { arm_timer(ms); }

  /** Handles what has arrived, and connects again when that is due. Does not wait. */
  void pump();

  /** Makes descriptor() readable, because the owner has events in a queue. */
  void set_pending(bool pending);

 private:
  enum class State { kDisconnected, kGreeting, kReady };

  void connect(const Deadline &deadline);
  void disconnect();
  void dispatch(const Frame &frame);
  void send(const Frame &frame, const Deadline &deadline);
  Frame wait_for_answer(uint64_t id, const Deadline &deadline);
  void receive_frames();
  void welcome(const Frame &frame);
  void arm_timer(uint64_t ms);
  void watch(int descriptor, bool add) const;
  bool take_timer();
  void on_timer();

  const Options options_;
  SessionObserver &observer_;
  Descriptor epoll_;
  Descriptor timer_;
  Descriptor pending_;
  State state_ = State::kDisconnected;
  std::unique_ptr<Connection> connection_;
  Worker worker_;
  uint64_t next_id_ = 1;
  uint64_t backoff_ms_ = 0;
  uint64_t awaited_id_ = 0;      // of the request that ask() waits for
  std::optional<Frame> answer_;  // to it
  Descriptors answer_descriptors_;
  bool answer_lost_descriptors_ = false;
};

/** The failure that an `error` frame describes. */
Failure refusal_of(const Frame &error);

}  // namespace vram_attach
