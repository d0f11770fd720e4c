/** Failures of the host on demand, for the whole process: threads that do not start, allocations that fail. */
#pragma once

namespace test {

/** While it exists, no thread can be started. */
class NoNewThreads {
 public:
  NoNewThreads();
  ~NoNewThreads();
  NoNewThreads(const NoNewThreads &) = delete;
  NoNewThreads &operator=(const NoNewThreads &) = delete;
};

/** While it exists, `operator new` throws std::bad_alloc on threads that start from now on. */
class NoMemoryForNewThreads {
 public:
  NoMemoryForNewThreads();
  ~NoMemoryForNewThreads();
  NoMemoryForNewThreads(const NoMemoryForNewThreads &) = delete;
  NoMemoryForNewThreads &operator=(const NoMemoryForNewThreads &) = delete;
};

}  // namespace test
