#include "driver.h"

#include <fstream>
#include <sstream>

namespace vram {
namespace {

vram_status read_kernels(const char *path, std::string *out_image) {
  const DriverCall call;  // the file system can hang as a driver call can
  std::ifstream file(path, std::ios::binary);
  if (!file) return VRAM_KERNELS_NOT_FOUND;
  std::ostringstream image;
  image << file.rdbuf();  // also fails for a directory and an empty file
  if (!image) return VRAM_KERNELS_NOT_FOUND;
  *out_image = image.str();
  return VRAM_OK;
}

}  // namespace

vram_status Driver::open(const vram_options &options) {
  max_allocation_bytes_ = options.max_allocation_bytes;
  part_bytes_ = options.part_bytes;
  slot_count_ = options.staging_slots;
  VRAM_TRY(load_driver_table(options.driver_path, &table_));
  VRAM_TRY(read_kernels(options.kernels_path, &kernels_));

  VRAM_TRY(from_driver(table_.cuInit(0)));
  int version = 0;
  VRAM_TRY(from_driver(table_.cuDriverGetVersion(&version)));
  cuda_version_ = static_cast<uint32_t>(version);
  if (cuda_version_ < options.min_cuda_version) return VRAM_DRIVER_TOO_OLD;
  int count = 0;
  VRAM_TRY(from_driver(table_.cuDeviceGetCount(&count)));
  if (count <= 0) return from_driver(CUDA_ERROR_NO_DEVICE);
  devices_.resize(static_cast<size_t>(count));
  open_ = true;
  return VRAM_OK;
}

vram_status Driver::open_device(uint32_t ordinal) {
  if (ordinal >= devices_.size()) return VRAM_BAD_DEVICE;
  std::unique_ptr<Device> &device = devices_[ordinal];
  if (device == nullptr) device = std::make_unique<Device>(table_);
  if (device->is_open()) return VRAM_OK;
  VRAM_TRY(device->close());  // continues if an earlier call could not undo everything
  vram_status status = device->open(static_cast<int>(ordinal), kernels_);
  if (status == VRAM_OK) status = pin_staging(*device);
  if (status != VRAM_OK) (void)device->close();
  return status;
}

vram_status Driver::pin_staging(const Device &device) {
  if (staging_.data() != nullptr) return VRAM_OK;
  VRAM_TRY(device.bind());
  return staging_.create(uint64_t{slot_count_} * VRAM_STAGING_SLOT_BYTES);
}

Device *Driver::device(uint32_t ordinal) const {
  Device *const device = ordinal < devices_.size() ? devices_[ordinal].get() : nullptr;
  return device != nullptr && device->is_open() ? device : nullptr;
}

vram_status Driver::close() {
  open_ = false;
  vram_status status = VRAM_OK;
  for (const auto &each : devices_) {
    if (each == nullptr) continue;
    // Any context can unpin the staging slots and the buffers.
    if (staging_.data() != nullptr && each->is_open()) {
      VRAM_TRY(each->bind());
      VRAM_TRY(read_buffers_->release());
      VRAM_TRY(staging_.release());
    }
    status = first_failure(status, each->close());
  }
  return status;
}

}  // namespace vram
