#include "descriptors.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace vram {
namespace {

constexpr size_t kMaxDescriptors = VRAM_MAX_DESCRIPTORS;

vram_status status_of_errno() {
  switch (errno) {
    case EAGAIN:
#if EWOULDBLOCK != EAGAIN
    case EWOULDBLOCK:
#endif
      return VRAM_WOULD_BLOCK;
    case ENOMEM:
    case ENOBUFS:
    case ETOOMANYREFS:  // the peers of this user leave too many descriptors unread
      return VRAM_HOST_OUT_OF_MEMORY;
    default:
      return VRAM_SOCKET_CLOSED;
  }
}

}  // namespace

void Descriptors::add(int descriptor) {
  numbers_.push_back(descriptor);
  (void)fcntl(descriptor, F_SETFD, FD_CLOEXEC);
}

std::vector<int> Descriptors::take() {
  return std::move(numbers_);
}

void Descriptors::clear() {
  for (const int number : numbers_) close(number);
  numbers_.clear();
}

vram_status send_with_descriptors(int socket, const void *data, uint64_t bytes, const std::vector<int> &descriptors,
                                  uint64_t *out_sent) {
  if (descriptors.size() > kMaxDescriptors) return VRAM_INTERNAL;
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))];
  iovec frame = {const_cast<void *>(data), bytes};
  msghdr message = {};
  message.msg_iov = &frame;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    const size_t payload_bytes = descriptors.size() * sizeof(int);
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(payload_bytes);
    std::memset(control, 0, message.msg_controllen);
    cmsghdr *const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(payload_bytes);
    std::memcpy(CMSG_DATA(header), descriptors.data(), payload_bytes);
  }
  ssize_t sent = -1;
  do {
    sent = sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent <= 0) return status_of_errno();
  *out_sent = static_cast<uint64_t>(sent);
  return VRAM_OK;
}

vram_status receive_with_descriptors(int socket, void *buffer, const ReceiveLimits &limits,
                                     Descriptors &out_descriptors, vram_received *out_received) {
  out_descriptors.reserve(kMaxDescriptors);
  // Room for a whole message. The padding of a smaller buffer could hold one descriptor more than was asked for.
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))];
  iovec piece = {buffer, limits.bytes};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  if (limits.descriptors != 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
  }  // Without room the kernel opens none: the close of one can wait for the program of its file system (FUSE).
  ssize_t received = -1;
  do {
    received = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (received < 0 && errno == EINTR);
  if (received <= 0) return received == 0 ? VRAM_SOCKET_CLOSED : status_of_errno();

  bool truncated = (message.msg_flags & MSG_CTRUNC) != 0;
  for (cmsghdr *header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    for (size_t at = 0; at + sizeof(int) <= header->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(header) + at, sizeof(number));
      if (out_descriptors.numbers().size() < limits.descriptors) {
        out_descriptors.add(number);
      } else {
        close(number);
        truncated = true;
      }
    }
  }
  const auto count = static_cast<uint32_t>(out_descriptors.numbers().size());
  *out_received = {static_cast<uint64_t>(received), count, truncated ? 1u : 0u};
  return VRAM_OK;
}

}  // namespace vram
