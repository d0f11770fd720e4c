#include "session.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include <algorithm>

namespace vram_attach {
namespace {

constexpr uint64_t kFirstBackoffMs = 50;
constexpr uint64_t kMaxBackoffMs = 5000;
/** A worker that accepts but does not answer `hello` counts as unreachable. */
constexpr uint64_t kGreetingMs = 10000;

Descriptor need(int number, const char *action) {
  if (number < 0) throw system_failure(VRAM_ATTACH_OUT_OF_MEMORY, action);
  return Descriptor(number);
}

Failure connection_ended() {
  return {VRAM_ATTACH_NOT_CONNECTED, "the connection ended", "", 0, true};
}

}  // namespace

Failure refusal_of(const Frame &error) {
  Failure failure = {VRAM_ATTACH_REFUSED, error.get("detail"), error.get("code")};
  failure.retriable = error.get("retriable") == "true";
  const std::string wait = error.get("retry_after_ms");
  failure.retry_after_ms = wait.empty() ? 0 : parse_number(wait);
  return failure;
}

Session::Session(Options options, SessionObserver &observer)
    : options_(std::move(options)),
      observer_(observer),
      epoll_(need(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
      timer_(need(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create")),
      pending_(need(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
  watch(timer_.get(), true);
  watch(pending_.get(), true);
}

void Session::watch(int descriptor, bool add) const {
  epoll_event event = {};
  event.events = EPOLLIN;
  if (epoll_ctl(epoll_.get(), add ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, descriptor, &event) != 0 && add) {
    throw system_failure(VRAM_ATTACH_OUT_OF_MEMORY, "epoll_ctl");
  }
}

void Session::set_pending(bool pending) {
  uint64_t value = 1;
  if (pending) {
    (void)!write(pending_.get(), &value, sizeof(value));
  } else {
    (void)!read(pending_.get(), &value, sizeof(value));
  }
}

void Session::arm_timer(uint64_t ms) {
  itimerspec spec = {};
  spec.it_value.tv_sec = static_cast<time_t>(ms / 1000);
  spec.it_value.tv_nsec = static_cast<long>(ms % 1000 * 1000000);
  (void)timerfd_settime(timer_.get(), 0, &spec, nullptr);
}

bool Session::take_timer() {
  uint64_t expirations = 0;
  return read(timer_.get(), &expirations, sizeof(expirations)) == sizeof(expirations);
}

void Session::connect(const Deadline &deadline) {
  auto connection = std::make_unique<Connection>(options_.socket_path, deadline);
  Frame hello("hello");
  hello.add("version", VRAM_ATTACH_VERSION).add("client", options_.client_name);
  if (!options_.token.empty()) hello.add("token", options_.token);
  try {
    connection->send(hello, deadline);
  } catch (const Failure &failure) {
    // A worker may refuse a connection before it reads the greeting. The refusal is then there to read.
    if (failure.status != VRAM_ATTACH_NOT_CONNECTED) throw;
  }
  watch(connection->descriptor(), true);
  connection_ = std::move(connection);
  state_ = State::kGreeting;
  arm_timer(kGreetingMs);
}

void Session::disconnect() {
  if (connection_ == nullptr) return;
  watch(connection_->descriptor(), false);
  connection_.reset();
  const bool was_ready = std::exchange(state_, State::kDisconnected) == State::kReady;
  backoff_ms_ = was_ready ? kFirstBackoffMs : std::min(std::max(2 * backoff_ms_, kFirstBackoffMs), kMaxBackoffMs);
  arm_timer(backoff_ms_);
  if (was_ready) observer_.on_disconnect();
}

void Session::welcome(const Frame &frame) {
  if (frame.type() != "welcome") throw protocol_error("the worker did not answer the greeting");
  worker_ = {frame.require("worker_id"), frame.require("boot_id"), frame.get("driver"),
             frame.get("simulated") == "true"};
  state_ = State::kReady;
  arm_timer(0);
  observer_.on_welcome();
}

void Session::dispatch(const Frame &frame) {
  if (frame.type() == "error" && frame.get("id").empty()) {
    throw refusal_of(frame);  // of `hello`, or the end of the session
  }
  if (state_ == State::kGreeting) return welcome(frame);
  const std::string id = frame.get("id");
  Descriptors descriptors;
  if (frame.type() == "attached") descriptors = connection_->take_descriptors(frame.all("part").size());
  if (awaited_id_ != 0 && id == std::to_string(awaited_id_)) {
    answer_ = frame;
    answer_descriptors_ = std::move(descriptors);
    answer_lost_descriptors_ = connection_->take_lost();
  } else {
    observer_.on_frame(frame);
  }
}

/** Reads what has arrived. After a failure the connection is closed. */
void Session::receive_frames() {
  try {
    connection_->receive();
    while (connection_ != nullptr) {
      const std::optional<Frame> frame = connection_->next_frame();
      if (!frame) return;
      dispatch(*frame);
    }
  } catch (...) {
    disconnect();
    throw;
  }
}

void Session::ensure_ready(const Deadline &deadline) {
  if (connection_ == nullptr) connect(deadline);
  while (state_ == State::kGreeting) {
    connection_->wait(deadline);
    receive_frames();
  }
  if (!is_ready()) throw connection_ended();
}

Frame Session::ask(Frame request, const char *answer_type, const Deadline &deadline) {
  ensure_ready(deadline);
  const uint64_t id = next_id_++;
  request.add("id", id);
  send(request, deadline);
  const Frame answer = wait_for_answer(id, deadline);
  if (answer.type() == "error") throw refusal_of(answer);
  if (answer.type() == answer_type) return answer;
  disconnect();
  throw protocol_error("the worker answered with a frame \"" + answer.type() + "\"");
}

/** Sends a frame. After a failure the connection is closed, because part of the frame may have been sent. */
void Session::send(const Frame &frame, const Deadline &deadline) {
  try {
    connection_->send(frame, deadline);
  } catch (const Failure &failure) {
    if (failure.status != VRAM_ATTACH_INVALID_ARGUMENT) disconnect();
    throw;
  }
}

Frame Session::wait_for_answer(uint64_t id, const Deadline &deadline) {
  answer_.reset();
  awaited_id_ = id;
  try {
    while (!answer_) {
      if (connection_ == nullptr) throw connection_ended();
      connection_->wait(deadline);
      receive_frames();
    }
  } catch (...) {
    awaited_id_ = 0;
    // If the length of a frame is wrong, its rest never comes, and all later answers would count as parts of it.
    if (connection_ != nullptr && connection_->is_mid_frame()) disconnect();
    throw;
  }
  awaited_id_ = 0;
  return std::move(*std::exchange(answer_, std::nullopt));
}

Descriptors Session::take_descriptors() {
  Descriptors descriptors = std::move(answer_descriptors_);
  answer_descriptors_.clear();
  const bool strays = connection_->drop_strays();
  if (answer_lost_descriptors_) {
    throw Failure{VRAM_ATTACH_DESCRIPTORS_LOST, "this process may open too few files: raise RLIMIT_NOFILE"};
  }
  if (strays) throw protocol_error("more descriptors arrived than the shard has parts");
  return descriptors;
}

uint64_t Session::tell(Frame request) {
  if (!is_ready()) return 0;
  const uint64_t id = next_id_++;
  request.add("id", id);
  try {
    // Such a request is short. If the worker reads so slowly that it does not fit, the connection is of no use.
    send(request, Deadline(0));
    return id;
  } catch (const Failure &) {
    return 0;
  }
}

void Session::on_timer() {
  if (state_ == State::kReady) return observer_.on_wake();
  if (state_ == State::kGreeting) return disconnect();
  try {
    connect(Deadline(0));
  } catch (const Failure &) {
    backoff_ms_ = std::min(std::max(2 * backoff_ms_, kFirstBackoffMs), kMaxBackoffMs);
    arm_timer(backoff_ms_);
  }
}

void Session::pump() {
  if (take_timer()) on_timer();
  if (connection_ == nullptr) return;
  try {
    receive_frames();
    if (connection_ != nullptr) (void)connection_->drop_strays();
  } catch (const Failure &) {
    // The owner learns of it by on_disconnect(). The timer starts the next attempt.
  }
}

}  // namespace vram_attach
