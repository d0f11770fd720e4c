#include "driver.h"

#include <fstream>
#include <sstream>

namespace vram {
namespace {

vram_status read_kernels(const char *path, std::string *out_image) {
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
  std::string kernels;
  VRAM_TRY(read_kernels(options.kernels_path, &kernels));

  VRAM_TRY(from_driver(table_.cuInit(0)));
  VRAM_TRY(open_devices(kernels));
  VRAM_TRY(device(0).bind());
  VRAM_TRY(staging_.create(uint64_t{slot_count_} * VRAM_STAGING_SLOT_BYTES));
  open_ = true;
  return VRAM_OK;
}

vram_status Driver::open_devices(const std::string &kernels) {
  int count = 0;
  VRAM_TRY(from_driver(table_.cuDeviceGetCount(&count)));
  if (count <= 0) return from_driver(CUDA_ERROR_NO_DEVICE);
  for (int ordinal = 0; ordinal < count; ++ordinal) {
    devices_.push_back(std::make_unique<Device>(table_));
    VRAM_TRY(devices_.back()->open(ordinal, kernels));
  }
  return VRAM_OK;
}

vram_status Driver::close() {
  open_ = false;
  if (staging_.data() != nullptr) {
    VRAM_TRY(device(0).bind());
    VRAM_TRY(staging_.release());
  }
  vram_status status = VRAM_OK;
  for (const auto &each : devices_) status = first_failure(status, each->close());
  return status;
}

}  // namespace vram
