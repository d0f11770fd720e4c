/**
 * Host memory that reads of files fill, and from which copies to a device read. A read that hangs may fill its buffer at
 * any time, so the memory belongs to the library and not to the driver, which only pins it.
 */
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "driver_table.h"

namespace vram {

class ReadBuffer {
 public:
  static constexpr uint64_t kBytes = VRAM_GROUP_BYTES;

  /** Throws std::bad_alloc. */
  ReadBuffer();
  ~ReadBuffer();
  ReadBuffer(const ReadBuffer &) = delete;
  ReadBuffer &operator=(const ReadBuffer &) = delete;

  uint8_t *data() const { return data_; }

 private:
  uint8_t *const data_;
};

/** The last owner returns a buffer of a pool to the pool, on any thread and without a driver call. */
using SharedReadBuffer = std::shared_ptr<ReadBuffer>;

/** The buffers of a driver. Grows to the largest number in use at a time, and keeps them pinned until release(). */
class ReadBuffers : public std::enable_shared_from_this<ReadBuffers> {
 public:
  explicit ReadBuffers(const DriverTable &driver) : driver_(driver) {}

  /** Takes a pinned buffer. Needs a device's context to be current. Throws std::bad_alloc. */
  vram_status take(SharedReadBuffer *out_buffer);
  /** Unpins all buffers, also those in use. On failure another call continues where this one stopped. */
  vram_status release();

 private:
  std::unique_ptr<ReadBuffer> take_free();
  void put(std::unique_ptr<ReadBuffer> buffer);

  const DriverTable &driver_;
  std::mutex mutex_;  // never held during a driver call
  std::vector<std::unique_ptr<ReadBuffer>> free_;
  std::vector<uint8_t *> pinned_;
  size_t capacity_ = 0;  // of both
};

}  // namespace vram
