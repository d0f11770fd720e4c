#include "file_reader.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace vram {
namespace {

constexpr uint64_t kPieceBytes = VRAM_STAGING_SLOT_BYTES;

}  // namespace

FileReader::FileReader(int file, uint64_t offset, uint64_t bytes, std::vector<uint8_t *> slots)
    : file_(file), offset_(offset), bytes_(bytes), slots_(std::move(slots)), thread_([this] { read_all(); }) {}

FileReader::~FileReader() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

uint64_t FileReader::piece_bytes(uint64_t piece) const {
  return std::min(kPieceBytes, bytes_ - piece * kPieceBytes);
}

void FileReader::read_all() {
  const uint64_t pieces = bytes_ / kPieceBytes + (bytes_ % kPieceBytes != 0);
  for (uint64_t piece = 0; piece < pieces; ++piece) {
    {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [&] { return stopped_ || piece - given_back_ < slots_.size(); });
      if (stopped_) return;
    }
    const vram_status status = fill(slots_[piece % slots_.size()], offset_ + piece * kPieceBytes, piece_bytes(piece));
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      status_ = status;
      if (status == VRAM_OK) ++filled_;
    }
    changed_.notify_all();
    if (status != VRAM_OK) return;
  }
}

vram_status FileReader::fill(uint8_t *slot, uint64_t offset, uint64_t bytes) const {
  for (uint64_t done = 0; done < bytes;) {
    const ssize_t got = pread(file_, slot + done, bytes - done, static_cast<off_t>(offset + done));
    if (got == 0) return VRAM_FILE_TOO_SHORT;
    if (got < 0 && errno != EINTR) return VRAM_FILE_ERROR;
    if (got > 0) done += static_cast<uint64_t>(got);
  }
  return VRAM_OK;
}

vram_status FileReader::next(Piece *out_piece) {
  *out_piece = {nullptr, 0};
  std::unique_lock<std::mutex> lock(mutex_);
  if (taken_ * kPieceBytes >= bytes_) return VRAM_OK;
  changed_.wait(lock, [&] { return filled_ > taken_ || status_ != VRAM_OK; });
  if (filled_ == taken_) return status_;
  *out_piece = {slots_[taken_ % slots_.size()], piece_bytes(taken_)};
  ++taken_;
  return VRAM_OK;
}

void FileReader::give_back() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++given_back_;
  }
  changed_.notify_all();
}

}  // namespace vram
