/** File descriptors in tests: owned ones, and how many this process has. */
#pragma once

#include <cstddef>

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

/** Two connected Unix stream sockets. Ends the test if the kernel refuses. */
struct SocketPair {
  SocketPair();
  Descriptor ours, peers;
};

}  // namespace test
