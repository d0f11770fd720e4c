#include "descriptors.h"

#include <dirent.h>
#include <sys/socket.h>
#include <unistd.h>

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

SocketPair::SocketPair() {
  int ends[2];
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  ours.reset(ends[0]);
  peers.reset(ends[1]);
}

}  // namespace test
