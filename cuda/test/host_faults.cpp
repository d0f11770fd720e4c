/** The program's own pthread_create() and operator new replace those of libc and libstdc++, in libvram too. */
#include "host_faults.h"

#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <new>

namespace test {
namespace {

std::atomic<bool> threads_fail{false};
std::atomic<unsigned> memory_era{0};  // odd while new threads get no memory

thread_local unsigned own_era = 0;

/** The start of a thread, with the era in which it was started. */
struct Start {
  void *(*function)(void *);
  void *argument;
  unsigned era;
};

void *run_thread(void *argument) {
  auto *const start = static_cast<Start *>(argument);
  const Start copy = *start;
  std::free(start);
  own_era = copy.era;
  return copy.function(copy.argument);
}

bool has_memory() {
  return own_era % 2 == 0 || own_era != memory_era.load();
}

}  // namespace

NoNewThreads::NoNewThreads() {
  threads_fail = true;
}
NoNewThreads::~NoNewThreads() {
  threads_fail = false;
}
NoMemoryForNewThreads::NoMemoryForNewThreads() {
  ++memory_era;
}
NoMemoryForNewThreads::~NoMemoryForNewThreads() {
  ++memory_era;
}

}  // namespace test

#define EXPORTED __attribute__((visibility("default")))

extern "C" EXPORTED int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *),
                                       void *argument) noexcept {
  using Create = int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  static const auto create = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
  if (test::threads_fail) return EAGAIN;
  auto *const start = static_cast<test::Start *>(std::malloc(sizeof(test::Start)));
  if (start == nullptr) return EAGAIN;
  *start = {function, argument, test::memory_era};
  const int result = create(thread, attributes, test::run_thread, start);
  if (result != 0) std::free(start);
  return result;
}

EXPORTED void *operator new(size_t bytes) {
  void *const memory = test::has_memory() ? std::malloc(bytes != 0 ? bytes : 1) : nullptr;
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
EXPORTED void operator delete(void *memory) noexcept {
  std::free(memory);
}
EXPORTED void operator delete(void *memory, size_t) noexcept {
  std::free(memory);
}
