/** Pinned host memory. An asynchronous copy may use it after the call has returned. */
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

namespace cuda_sim {

/** A pinned buffer. A copy in progress holds a reference, so that allocated memory outlives cuMemFreeHost. */
class HostBuffer {
 public:
  /** Allocated by the driver, or memory of the program that the driver pins. */
  enum class Kind { kAllocated, kRegistered };

  /** Null if the host has too little memory. The host allocates each page on first access. */
  static std::shared_ptr<HostBuffer> create(uint64_t bytes, int device);
  static std::shared_ptr<HostBuffer> registered(void *address, uint64_t bytes, int device);
  ~HostBuffer();
  HostBuffer(const HostBuffer &) = delete;
  HostBuffer &operator=(const HostBuffer &) = delete;

  void *address() const { return address_; }
  uint64_t bytes() const { return bytes_; }
  int device() const { return device_; }
  Kind kind() const { return kind_; }

 private:
  HostBuffer(void *address, uint64_t bytes, int device, Kind kind)
      : address_(address), bytes_(bytes), device_(device), kind_(kind) {}

  void *const address_;
  const uint64_t bytes_;
  const int device_;
  const Kind kind_;
};

class HostMemory {
 public:
  /** False if the range overlaps another buffer. */
  bool add(std::shared_ptr<HostBuffer> buffer);
  /** False if no buffer of this kind starts at the address. */
  bool remove(const void *address, HostBuffer::Kind kind);
  /** The buffer that contains the whole range. Null if there is none. */
  std::shared_ptr<HostBuffer> find(const void *address, uint64_t bytes) const;
  uint64_t count() const;

 private:
  mutable std::mutex mutex_;
  std::map<uintptr_t, std::shared_ptr<HostBuffer>> buffers_;
};

}  // namespace cuda_sim
