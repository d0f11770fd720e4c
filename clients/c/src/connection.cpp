#include "connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <thread>

namespace vram_attach {
namespace {

constexpr size_t kMaxDescriptors = 253;  // SCM_MAX_FD of Linux: the limit of one message
constexpr size_t kReadBytes = 65536;

/** Waits for an event of poll(2). Throws VRAM_ATTACH_TIMED_OUT. */
void wait_for(int descriptor, short events, const Deadline &deadline) {
  for (;;) {
    pollfd request = {descriptor, events, 0};
    const int ready = poll(&request, 1, deadline.left_ms());
    if (ready > 0) return;
    if (ready == 0) throw Failure{VRAM_ATTACH_TIMED_OUT, "the worker did not answer in time", "", 0, true};
    if (errno != EINTR) throw system_failure(VRAM_ATTACH_NOT_CONNECTED, "poll");
  }
}

}  // namespace

Failure system_failure(vram_attach_status status, const std::string &action) {
  const bool no_room = errno == EMFILE || errno == ENFILE || errno == ENOMEM;
  return {no_room ? VRAM_ATTACH_OUT_OF_MEMORY : status, action + ": " + std::strerror(errno), "", 0, true};
}

int Deadline::left_ms() const {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(end_ - Clock::now()).count();
  return static_cast<int>(std::clamp<long long>(left, 0, INT32_MAX));
}

Connection::Connection(const std::string &path, const Deadline &deadline)
    : socket_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
  if (!socket_.is_open()) throw system_failure(VRAM_ATTACH_NOT_CONNECTED, "socket");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    throw Failure{VRAM_ATTACH_INVALID_ARGUMENT, "socket_path is longer than 107 bytes"};
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  while (connect(socket_.get(), reinterpret_cast<const sockaddr *>(&address), sizeof(address)) != 0) {
    // EAGAIN: the worker's queue of new connections is full. poll() cannot wait for that.
    if (errno != EAGAIN && errno != EINTR) throw system_failure(VRAM_ATTACH_NOT_CONNECTED, path);
    if (deadline.left_ms() == 0) throw Failure{VRAM_ATTACH_TIMED_OUT, path + " does not accept", "", 0, true};
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void Connection::send(const Frame &frame, const Deadline &deadline) {
  const std::string bytes = frame.encode();
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t sent = ::send(socket_.get(), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
    if (sent >= 0) {
      done += static_cast<size_t>(sent);
    } else if (errno == EAGAIN) {
      wait_for(socket_.get(), POLLOUT, deadline);
    } else if (errno != EINTR) {
      throw system_failure(VRAM_ATTACH_NOT_CONNECTED, "send");
    }
  }
}

void Connection::wait(const Deadline &deadline) const {
  wait_for(socket_.get(), POLLIN, deadline);
}

void Connection::receive() {
  char piece[kReadBytes];
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))];
  iovec vector = {piece, sizeof(piece)};
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  descriptors_.reserve(descriptors_.size() + kMaxDescriptors);
  const ssize_t received = recvmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (received < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (received < 0) throw system_failure(VRAM_ATTACH_NOT_CONNECTED, "recvmsg");
  if (received == 0) throw Failure{VRAM_ATTACH_NOT_CONNECTED, "the worker closed the connection", "", 0, true};

  lost_descriptors_ = lost_descriptors_ || (message.msg_flags & MSG_CTRUNC) != 0;
  for (cmsghdr *header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    for (size_t at = 0; at + sizeof(int) <= header->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(header) + at, sizeof(number));
      descriptors_.emplace_back(number);
    }
  }
  // Few descriptors are due at a time. More would let a peer exhaust this process.
  if (descriptors_.size() > 2 * kMaxDescriptors) throw protocol_error("the worker sent descriptors that were not due");
  buffer_.append(piece, static_cast<size_t>(received));
}

Descriptors Connection::take_descriptors(size_t count) {
  const auto end = descriptors_.begin() + static_cast<std::ptrdiff_t>(std::min(count, descriptors_.size()));
  Descriptors taken(std::make_move_iterator(descriptors_.begin()), std::make_move_iterator(end));
  descriptors_.erase(descriptors_.begin(), end);
  return taken;
}

bool Connection::drop_strays() {
  // Descriptors come with the first byte of a frame. If none has begun, they belong to none.
  if (!buffer_.empty() || descriptors_.empty()) return false;
  descriptors_.clear();
  return true;
}

std::optional<Frame> Connection::next_frame() {
  if (buffer_.size() < kLengthBytes) return std::nullopt;
  size_t bytes = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) bytes |= size_t{static_cast<unsigned char>(buffer_[i])} << (8 * i);
  if (bytes == 0 || bytes > kMaxFrameBytes) throw protocol_error("a frame has an invalid length");
  if (buffer_.size() < kLengthBytes + bytes) return std::nullopt;
  Frame frame = Frame::parse(std::string_view(buffer_).substr(kLengthBytes, bytes));
  buffer_.erase(0, kLengthBytes + bytes);
  return frame;
}

}  // namespace vram_attach
