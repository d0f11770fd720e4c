#include "read_buffers.h"

#include <sys/mman.h>

#include <new>

#include "status.h"

namespace vram {
namespace {

uint8_t *map_pages(uint64_t bytes) {
  void *const address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) throw std::bad_alloc();
  return static_cast<uint8_t *>(address);
}

}  // namespace

ReadBuffer::ReadBuffer() : data_(map_pages(kBytes)) {}

ReadBuffer::~ReadBuffer() {
  (void)munmap(data_, kBytes);
}

vram_status ReadBuffers::take(SharedReadBuffer *out_buffer) {
  std::unique_ptr<ReadBuffer> buffer = take_free();
  if (buffer == nullptr) {
    buffer = std::make_unique<ReadBuffer>();
    const CUresult result =
        driver_.cuMemHostRegister_v2(buffer->data(), ReadBuffer::kBytes, CU_MEMHOSTREGISTER_PORTABLE);
    VRAM_TRY(from_driver(result, VRAM_HOST_OUT_OF_MEMORY));
    const std::lock_guard<std::mutex> lock(mutex_);
    pinned_.push_back(buffer->data());
  }
  *out_buffer = SharedReadBuffer(buffer.release(), [self = shared_from_this()](ReadBuffer *returned) {
    self->put(std::unique_ptr<ReadBuffer>(returned));
  });
  return VRAM_OK;
}

/** Null if there is none. The caller then adds one, and later steps cannot fail for lack of memory. */
std::unique_ptr<ReadBuffer> ReadBuffers::take_free() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (free_.empty()) {
    pinned_.reserve(capacity_ + 1);
    free_.reserve(capacity_ + 1);
    ++capacity_;
    return nullptr;
  }
  std::unique_ptr<ReadBuffer> buffer = std::move(free_.back());
  free_.pop_back();
  return buffer;
}

void ReadBuffers::put(std::unique_ptr<ReadBuffer> buffer) {
  const std::lock_guard<std::mutex> lock(mutex_);
  free_.push_back(std::move(buffer));
}

vram_status ReadBuffers::release() {
  // No other call uses the driver, so no buffer is taken now.
  for (; !pinned_.empty(); pinned_.pop_back()) {
    VRAM_TRY(from_driver(driver_.cuMemHostUnregister(pinned_.back())));
  }
  return VRAM_OK;
}

}  // namespace vram
