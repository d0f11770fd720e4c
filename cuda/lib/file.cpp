#include "file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "file_threads.h"
#include "guarded.h"
#include "status.h"

namespace vram {
namespace {

/** Buffers of a file: some are filled while others are digested and copied. */
constexpr size_t kBuffers = 8;
/** A thread that waits for buffers is woken once it can fill several. */
constexpr size_t kBuffersPerWake = 2;

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
  std::memcpy(destination, buffer->data() + skipped, copied);
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

vram_status File::duplicate(Descriptor *out_file, int *out_error) {
  const Lock lock(mutex_);
  if (closed_ || !descriptor_.is_open()) return VRAM_STALE_HANDLE;
  *out_file = Descriptor(fcntl(descriptor_.get(), F_DUPFD_CLOEXEC, 0));
  if (out_file->is_open()) return VRAM_OK;
  *out_error = errno;
  return VRAM_FILE_ERROR;
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
  ChunkReader reader(*this, nullptr);
  if (!reader.lock_.owns_lock()) return VRAM_BUSY;
  for (*out_read = 0;;) {
    *out_read += current_.copy(offset + *out_read, destination + *out_read, bytes - *out_read);
    if (*out_read == bytes) return VRAM_OK;
    Chunk next;
    VRAM_TRY(reader.take(offset + *out_read, end, deadline, &next));
    if (next.bytes == 0) return VRAM_OK;
    current_ = std::move(next);
  }
}

File::ChunkReader::ChunkReader(File &file, ReadBuffers *pool)
    : file_(file), pool_(pool), lock_(file.reader_mutex_, std::try_to_lock) {
  if (!lock_.owns_lock()) return;
  const Lock lock(file_.mutex_);
  file_.reading_ = true;
}

File::ChunkReader::~ChunkReader() {
  if (!lock_.owns_lock()) return;
  const Lock lock(file_.mutex_);
  file_.reading_ = false;
}

vram_status File::ChunkReader::take(uint64_t offset, uint64_t end, Clock::time_point deadline, Chunk *out_chunk) {
  if (!lock_.owns_lock()) return VRAM_BUSY;
  file_.reuse(std::exchange(file_.current_, {}));
  VRAM_TRY(take_buffers());
  Lock lock(file_.mutex_);
  while (!is_ready(offset)) {
    if (file_.closed_) return VRAM_STALE_HANDLE;
    if (!file_.pending_) {
      VRAM_TRY(file_.info_.status);
      VRAM_TRY(start_reads(offset, end));
    }
    const auto is_done = [&] { return !file_.pending_ || is_ready(offset); };
    if (!file_.settled_.wait_until(lock, deadline, is_done)) return VRAM_OK;
  }
  if (file_.closed_) return VRAM_STALE_HANDLE;
  *out_chunk = std::move(file_.ahead_.front());
  file_.ahead_.erase(file_.ahead_.begin());
  file_.end_ = end;
  return VRAM_OK;
}

void File::ChunkReader::give(Chunk chunk) noexcept {
  file_.reuse(std::move(chunk));
}

/** Takes other buffers for the file, if it has none or their pool is another one. The next start_reads() uses them. */
vram_status File::ChunkReader::take_buffers() {
  const bool suits = !file_.buffers_of_.has_value() ? false : pool_ == nullptr || *file_.buffers_of_ == pool_;
  if (suits || !fresh_.empty()) return VRAM_OK;
  std::vector<SharedReadBuffer> taken(kBuffers);
  for (SharedReadBuffer &buffer : taken) {
    if (pool_ == nullptr) buffer = std::make_shared<ReadBuffer>();
    if (pool_ != nullptr) VRAM_TRY(pool_->take(&buffer));
  }
  fresh_ = std::move(taken);
  return VRAM_OK;
}

/** Needs the file's mutex_. Whether the next chunk is there, in memory that suits the caller. */
bool File::ChunkReader::is_ready(uint64_t offset) const {
  return fresh_.empty() && !file_.ahead_.empty() && file_.ahead_.front().offset == offset;
}

/** Needs the file's mutex_, and no job. */
vram_status File::ChunkReader::start_reads(uint64_t offset, uint64_t end) {
  for (Chunk &chunk : file_.ahead_) file_.free_.push_back(std::move(chunk.buffer));
  file_.ahead_.clear();
  file_.ahead_.reserve(kBuffers);  // the thread must not allocate
  if (!fresh_.empty()) {
    file_.free_ = std::exchange(fresh_, {});
    file_.buffers_of_ = pool_;
  }
  file_.next_ = offset;
  file_.end_ = end;
  return file_.start([](File &self) { self.run_reads(); });
}

void File::reuse(Chunk chunk) noexcept {
  if (chunk.buffer == nullptr) return;
  const Lock lock(mutex_);
  free_.push_back(std::move(chunk.buffer));
  const bool is_worth_it = free_.size() >= kBuffersPerWake || ahead_.empty();
  // If no thread can be had now, take() tries again.
  if (pending_ || info_.status != VRAM_OK || !is_worth_it || !has_work()) return;
  (void)guarded([this] { return start([](File &self) { self.run_reads(); }); });
}

/** Needs mutex_. */
bool File::has_work() const {
  return !closed_ && reading_ && next_ < end_ && !free_.empty();
}

/**
 * Fills all free buffers, so that the thread wakes seldom, and at least one, for a call that has gone. None if a later
 * call with an earlier end has all its bytes: a read of 0 bytes would look like the end of the file.
 */
void File::run_reads() {
  Lock lock(mutex_);
  vram_status status = VRAM_OK;
  int error = 0;
  for (bool may_continue = !closed_ && next_ < end_; may_continue && status == VRAM_OK;) {
    Chunk chunk = {next_, 0, std::move(free_.back())};
    free_.pop_back();
    const uint64_t wanted = std::min(end_ - next_, ReadBuffer::kBytes - next_ % ReadBuffer::kBytes);
    lock.unlock();
    error = read_fully(descriptor_.get(), chunk.buffer->data(), chunk.offset, wanted, &chunk.bytes);
    const bool is_alone = continue_file_job();
    lock.lock();
    status = error != 0 ? VRAM_FILE_ERROR : chunk.bytes == 0 ? VRAM_FILE_TOO_SHORT : VRAM_OK;
    next_ += chunk.bytes;
    if (status == VRAM_OK) ahead_.push_back(std::move(chunk));
    settled_.notify_all();
    may_continue = is_alone && has_work();
  }
  // The lock is held since the last chunk was added: its reader must find no job.
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
