#include "export_probe.h"

namespace vram {

vram_status ExportProbe::run(CUdevice device, int ordinal, uint64_t granularity_bytes) {
  VRAM_TRY(release());  // of an earlier call that failed
  int claimed = 0;
  const CUdevice_attribute attribute = CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED;
  VRAM_TRY(from_driver(driver_.cuDeviceGetAttribute(&claimed, attribute, device)));
  if (claimed == 0) return VRAM_OK;
  request_ = {ordinal, granularity_bytes, granularity_bytes, true};
  const vram_status tried = try_export();
  result_ = first_failure(tried, release());
  return VRAM_OK;
}

vram_status ExportProbe::try_export() {
  Descriptors descriptors;
  VRAM_TRY(created_.create(request_));
  VRAM_TRY(created_.export_parts(descriptors));
  return imported_.import(request_, descriptors.numbers());
}

vram_status ExportProbe::require() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (result_ == VRAM_OUT_OF_MEMORY) {
    const vram_status tried = try_export();
    result_ = first_failure(tried, release());
  }
  const vram_status result = result_;
  return result == VRAM_OK || result == VRAM_OUT_OF_MEMORY ? result : VRAM_NOT_EXPORTABLE;
}

vram_status ExportProbe::release() {
  return first_failure(imported_.release(), created_.release());
}

}  // namespace vram
