/** An open driver: its function table, its devices and the staging slots. */
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "device.h"
#include "fair_shared_mutex.h"
#include "pinned_buffer.h"
#include "read_buffers.h"

namespace vram {

class Driver {
 public:
  Driver() : staging_(table_), read_buffers_(std::make_shared<ReadBuffers>(table_)) {}
  ~Driver() { (void)close(); }

  vram_status open(const vram_options &options);
  /** See vram_open_device. No other call may be running. */
  vram_status open_device(uint32_t ordinal);

  /** Releases devices and staging. The driver counts as closed from the first call; another call continues. */
  vram_status close();

  /** Every call into the library holds this shared; vram_close holds it exclusively, so no other call is running. */
  FairSharedMutex &mutex() { return mutex_; }
  bool is_open() const { return open_; }

  const DriverTable &table() const { return table_; }
  uint32_t cuda_version() const { return cuda_version_; }
  /** The number of devices, open or not. */
  uint32_t device_count() const { return static_cast<uint32_t>(devices_.size()); }
  /** Null if no open device has the ordinal. */
  Device *device(uint32_t ordinal) const;
  uint64_t max_allocation_bytes() const { return max_allocation_bytes_; }
  uint64_t part_bytes() const { return part_bytes_; }
  /** 0 until a device is open. */
  uint32_t slot_count() const { return staging_.data() != nullptr ? slot_count_ : 0; }
  /** The buffers of loads from files. */
  ReadBuffers &read_buffers() const { return *read_buffers_; }
  uint8_t *slot(uint32_t index) const { return staging_.data() + uint64_t{index} * VRAM_STAGING_SLOT_BYTES; }

 private:
  vram_status pin_staging(const Device &device);

  FairSharedMutex mutex_;
  bool open_ = false;
  DriverTable table_;
  uint64_t max_allocation_bytes_ = 0;
  uint64_t part_bytes_ = 0;
  uint32_t slot_count_ = 0;
  uint32_t cuda_version_ = 0;
  std::string kernels_;
  std::vector<std::unique_ptr<Device>> devices_;  // by ordinal; null until vram_open_device()
  PinnedBuffer staging_;
  const std::shared_ptr<ReadBuffers> read_buffers_;
};

}  // namespace vram
