#include "file.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "file_threads.h"
#include "guarded.h"
#include "status.h"

namespace vram {
namespace {

constexpr uint64_t kChunkBytes = VRAM_GROUP_BYTES;

/** Reads until `bytes` bytes are there, or the file ends. Returns an errno. */
int read_fully(int file, uint8_t *data, uint64_t offset, uint64_t bytes, uint64_t *out_read) {
  uint64_t done = 0;
  while (done < bytes) {
    const ssize_t got = pread(file, data + done, bytes - done, static_cast<off_t>(offset + done));
    if (got == 0) break;
    if (got < 0 && errno != EINTR) return errno;
    if (got > 0) done += static_cast<uint64_t>(got);
  }
  *out_read = done;
  return 0;
}

int read_status(int file, vram_file_info *out_info) {
  struct stat status = {};
  if (fstat(file, &status) != 0) return errno;
  out_info->bytes = static_cast<uint64_t>(status.st_size);
  out_info->modified_ns = int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
  return 0;
}

}  // namespace

uint64_t File::Chunk::copy(uint64_t from, uint8_t *destination, uint64_t limit) const {
  if (from < offset || from - offset >= bytes) return 0;
  const uint64_t skipped = from - offset;
  const uint64_t copied = std::min(bytes - skipped, limit);
  std::memcpy(destination, data.get() + skipped, copied);
  return copied;
}

/** Needs mutex_. */
template <typename Job>
vram_status File::start(Job job) {
  const vram_status started = run_on_file_thread([self = shared_from_this(), job] { job(*self); });
  pending_ = started == VRAM_OK;
  return started;
}

void File::finish(Lock lock, vram_status status, int error) {
  info_.status = status;
  info_.error = error;
  pending_ = false;
  Descriptor unused;
  if (closed_) unused = std::move(descriptor_);
  settled_.notify_all();
  lock.unlock();
}

vram_status File::open(Opener opener) {
  const Lock lock(mutex_);
  return start([opener = std::move(opener)](File &self) { self.run_open(opener); });
}

void File::run_open(const Opener &opener) {
  Descriptor opened;
  vram_file_info info = {};
  int error = 0;
  vram_status status = guarded([&] { return opener(&opened, &error); });
  if (status == VRAM_OK) error = read_status(opened.get(), &info);
  if (status == VRAM_OK && error != 0) status = VRAM_FILE_ERROR;
  Lock lock(mutex_);
  info_ = info;
  descriptor_ = std::move(opened);
  finish(std::move(lock), status, error);
}

vram_status File::stat() {
  const Lock lock(mutex_);
  if (pending_) return VRAM_BUSY;
  return info_.status != VRAM_OK ? info_.status : start([](File &self) { self.run_stat(); });
}

void File::run_stat() {
  vram_file_info info = {};
  const int error = read_status(descriptor_.get(), &info);
  Lock lock(mutex_);
  if (error == 0) info_ = info;
  finish(std::move(lock), error == 0 ? VRAM_OK : VRAM_FILE_ERROR, error);
}

void File::get_info(vram_file_info *out_info) {
  const Lock lock(mutex_);
  *out_info = info_;
  out_info->pending = pending_ ? 1 : 0;
}

vram_status File::read(uint64_t offset, uint64_t end, uint8_t *destination, uint64_t bytes, Clock::time_point deadline,
                       uint64_t *out_read) {
  const Lock reader(reader_mutex_, std::try_to_lock);
  if (!reader.owns_lock()) return VRAM_BUSY;
  for (*out_read = 0;;) {
    *out_read += current_.copy(offset + *out_read, destination + *out_read, bytes - *out_read);
    if (*out_read == bytes) return VRAM_OK;
    bool ready = false;
    VRAM_TRY(wait_for_chunk(offset + *out_read, end, deadline, &ready));
    if (!ready) return VRAM_OK;
  }
}

/** Makes current_ the chunk at `offset`, and starts to read the next one. */
vram_status File::wait_for_chunk(uint64_t offset, uint64_t end, Clock::time_point deadline, bool *out_ready) {
  Lock lock(mutex_);
  for (;;) {
    *out_ready = settled_.wait_until(lock, deadline, [this] { return !pending_; });
    if (!*out_ready) return VRAM_OK;
    if (closed_) return VRAM_STALE_HANDLE;
    if (info_.status != VRAM_OK) return info_.status;
    if (ahead_.bytes != 0 && ahead_.offset == offset) break;
    VRAM_TRY(start_read(offset, end));
  }
  std::swap(current_, ahead_);
  ahead_.bytes = 0;
  const uint64_t next = current_.offset + current_.bytes;
  return next < end ? start_read(next, end) : VRAM_OK;
}

/** Needs mutex_. */
vram_status File::start_read(uint64_t offset, uint64_t end) {
  if (ahead_.data == nullptr) ahead_.data.reset(new uint8_t[kChunkBytes]);
  ahead_.offset = offset;
  ahead_.bytes = 0;
  return start([wanted = std::min(end - offset, kChunkBytes)](File &self) { self.run_read(wanted); });
}

void File::run_read(uint64_t wanted) {
  uint64_t got = 0;
  const int error = read_fully(descriptor_.get(), ahead_.data.get(), ahead_.offset, wanted, &got);
  Lock lock(mutex_);
  ahead_.bytes = got;
  const vram_status status = error != 0 ? VRAM_FILE_ERROR : got == 0 ? VRAM_FILE_TOO_SHORT : VRAM_OK;
  finish(std::move(lock), status, error);
}

void File::close() {
  const Lock lock(mutex_);
  closed_ = true;
  if (pending_ || !descriptor_.is_open()) return;
  auto unused = std::make_shared<Descriptor>(std::move(descriptor_));
  (void)run_on_file_thread([unused = std::move(unused)]() mutable { unused.reset(); }, Admission::kAlways);
}

}  // namespace vram
