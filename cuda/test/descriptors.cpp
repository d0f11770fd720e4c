#include "descriptors.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "harness.h"

namespace test {

Descriptor &Descriptor::operator=(Descriptor &&other) noexcept {
  reset(other.release());
  return *this;
}

int Descriptor::release() {
  const int number = number_;
  number_ = -1;
  return number;
}

void Descriptor::reset(int number) {
  if (number_ >= 0) close(number_);
  number_ = number;
}

size_t open_descriptors() {
  DIR *const entries = opendir("/proc/self/fd");
  REQUIRE(entries != nullptr);
  size_t count = 0;
  while (readdir(entries) != nullptr) ++count;
  closedir(entries);
  return count - 3;  // without ".", ".." and the descriptor of the directory
}

std::vector<int32_t> Received::numbers() const {
  std::vector<int32_t> numbers;
  for (const Descriptor &descriptor : descriptors) numbers.push_back(descriptor.get());
  return numbers;
}

Received receive(const Descriptor &socket) {
  constexpr size_t kMaxDescriptors = 253;
  std::string bytes(65536, 0);
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))];
  iovec piece = {bytes.data(), bytes.size()};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t length = recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC);
  REQUIRE(length >= 0);
  bytes.resize(static_cast<size_t>(length));
  Received received = {std::move(bytes), {}, (message.msg_flags & MSG_CTRUNC) != 0};
  for (cmsghdr *header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    for (size_t at = 0; at + sizeof(int) <= header->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(header) + at, sizeof(number));
      received.descriptors.emplace_back(number);
    }
  }
  return received;
}

rlim_t limit_with_free_descriptors(int count) {
  int limit = 0;
  while (count > 0) count -= fcntl(limit++, F_GETFD) == -1 ? 1 : 0;
  return static_cast<rlim_t>(limit);
}

SocketPair::SocketPair() {
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  ours.reset(ends[0]);
  peers.reset(ends[1]);
}

}  // namespace test
