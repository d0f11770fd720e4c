/** The program's own functions replace those of libc, in libvram and Node too. */
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

std::atomic<int> hanging{0};

template <typename Function>
Function original(const char *name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

/** Waits or sets errno as a name demands. Returns whether the call fails. */
bool fails(const char *name, const char *hang, const char *fail) {
  const char *const gate = getenv("VRAM_TEST_GATE");
  if (strstr(name, hang) != nullptr && gate != nullptr) {
    ++hanging;
    while (access(gate, F_OK) == 0) usleep(1000);
    --hanging;
  }
  const char *const failing = strstr(name, fail);
  if (failing == nullptr) return false;
  errno = atoi(failing + strlen(fail));
  return true;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) long syscall(long number, ...) {
  using Syscall = long (*)(long, ...);
  static const auto call = original<Syscall>("syscall");
  va_list list;
  va_start(list, number);
  long arguments[6];
  for (long &argument : arguments) argument = va_arg(list, long);
  va_end(list);
  if (number == SYS_statx && fails(reinterpret_cast<const char *>(arguments[1]), "hang-stat", "fail-stat-")) return -1;
  if (number == SYS_openat2 && fails(reinterpret_cast<const char *>(arguments[1]), "hang-open", "fail-open-"))
    return -1;
  return call(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}

/** Node calls this function. */
extern "C" __attribute__((visibility("default"))) int open64(const char *path, int flags, ...) {
  using Open = int (*)(const char *, int, ...);
  static const auto open = original<Open>("open64");
  va_list list;
  va_start(list, flags);
  const mode_t mode = (flags & (O_CREAT | O_TMPFILE)) == 0 ? 0 : va_arg(list, mode_t);
  va_end(list);
  return fails(path, "hang-open", "fail-open-") ? -1 : open(path, flags, mode);
}

/** libvram loads the driver with this function. */
extern "C" __attribute__((visibility("default"))) void *dlopen(const char *path, int flags) {
  using Open = void *(*)(const char *, int);
  static const auto open = original<Open>("dlopen");
  return path != nullptr && fails(path, "hang-open", "fail-open-") ? nullptr : open(path, flags);
}

/** Streams of C++ call this function. */
extern "C" __attribute__((visibility("default"))) FILE *fopen64(const char *path, const char *mode) {
  using Open = FILE *(*)(const char *, const char *);
  static const auto open = original<Open>("fopen64");
  return fails(path, "hang-open", "fail-open-") ? nullptr : open(path, mode);
}

extern "C" __attribute__((visibility("default"))) ssize_t pread(int file, void *data, size_t bytes, off_t offset) {
  using Pread = ssize_t (*)(int, void *, size_t, off_t);
  static const auto read = original<Pread>("pread");
  char link[48], name[PATH_MAX] = {};
  (void)snprintf(link, sizeof(link), "/proc/thread-self/fd/%d", file);
  (void)readlink(link, name, sizeof(name) - 1);
  const char *const delay = strstr(name, "delay-read-");
  if (delay != nullptr) usleep(1000 * static_cast<useconds_t>(atoi(delay + strlen("delay-read-"))));
  return fails(name, "hang-read", "fail-read-") ? -1 : read(file, data, bytes, offset);
}

namespace test {

int hanging_calls() {
  return hanging;
}

}  // namespace test

/** The same function, by the name that Node calls. */
extern "C" __attribute__((visibility("default"))) ssize_t pread64(int file, void *data, size_t bytes, off64_t offset) {
  return pread(file, data, bytes, offset);
}
