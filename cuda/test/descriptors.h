/** File descriptors in tests: owned ones, and how many this process has. */
#pragma once

#include <sys/resource.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace test {

/** Closes a descriptor at the end of its scope. */
class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  Descriptor(Descriptor &&other) noexcept : number_(other.release()) {}
  Descriptor &operator=(Descriptor &&other) noexcept;
  ~Descriptor() { reset(); }

  int get() const { return number_; }
  /** Gives up the descriptor without closing it. */
  int release();
  void reset(int number = -1);

 private:
  int number_;
};

/** The number of open descriptors of this process. */
size_t open_descriptors();

/** The RLIMIT_NOFILE that leaves `count` free descriptors. Those of this process need not be contiguous. */
rlim_t limit_with_free_descriptors(int count);

/** Two connected Unix stream sockets. Ends the test if the kernel refuses. */
struct SocketPair {
  SocketPair();
  Descriptor ours, peers;
};

/** What one read from a socket returned. */
struct Received {
  std::string bytes;
  std::vector<Descriptor> descriptors;
  bool truncated; /* the kernel dropped descriptors, because this process has no room for them */

  /** The numbers of the descriptors, as vram_adopt() takes them. */
  std::vector<int32_t> numbers() const;
};

/** Receives up to 64 KiB and any descriptors with them. Waits for the first byte. */
Received receive(const Descriptor &socket);

}  // namespace test
