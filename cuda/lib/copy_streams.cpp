#include "copy_streams.h"

namespace vram {
namespace {

// Creating a stream costs more than the copy of a small shard. More idle streams would only take memory.
constexpr size_t kMaxIdle = 8;

}  // namespace

CopyStreams::CopyStreams(const DriverTable &driver) : driver_(driver) {
  idle_.reserve(kMaxIdle);  // give_back() must not allocate: the destructor of a load calls it
}

vram_status CopyStreams::take(std::unique_ptr<CopyStream> *out_stream) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!idle_.empty()) {
      *out_stream = std::move(idle_.back());
      idle_.pop_back();
      return VRAM_OK;
    }
  }
  *out_stream = std::make_unique<CopyStream>(driver_);
  return (*out_stream)->create();
}

vram_status CopyStreams::give_back(std::unique_ptr<CopyStream> *stream) {
  if ((*stream)->is_reusable()) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (idle_.size() < kMaxIdle) {
      idle_.push_back(std::move(*stream));
      return VRAM_OK;
    }
  }
  VRAM_TRY((*stream)->release());
  stream->reset();
  return VRAM_OK;
}

vram_status CopyStreams::release() {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (; !idle_.empty(); idle_.pop_back()) VRAM_TRY(idle_.back()->release());
  return VRAM_OK;
}

}  // namespace vram
