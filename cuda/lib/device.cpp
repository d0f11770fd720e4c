#include "device.h"

#include <cstring>

#include "../kernels/tree_level.h"

namespace vram {
namespace {

constexpr uint64_t kCopyBufferBytes = uint64_t{1} << 20;

}  // namespace

vram_status Device::open(int ordinal, const std::string &kernels) {
  ordinal_ = ordinal;
  VRAM_TRY(identify());
  // By default a thread that waits for the device uses a whole core.
  VRAM_TRY(from_driver(driver_.cuDevicePrimaryCtxSetFlags_v2(device_, CU_CTX_SCHED_BLOCKING_SYNC)));
  VRAM_TRY(from_driver(driver_.cuDevicePrimaryCtxRetain(&context_, device_)));
  VRAM_TRY(bind());

  const CUmemAllocationProp prop = PhysicalMemory::properties(ordinal_, false);
  VRAM_TRY(
      from_driver(driver_.cuMemGetAllocationGranularity(&granularity_bytes_, &prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM)));
  VRAM_TRY(from_driver(driver_.cuModuleLoadData(&module_, kernels.c_str()), VRAM_OUT_OF_MEMORY));
  CUfunction kernel = nullptr;
  VRAM_TRY(from_driver(driver_.cuModuleGetFunction(&kernel, module_, tree_level::kKernelName)));
  VRAM_TRY(staged_stream_.create(kCopyBufferBytes));
  VRAM_TRY(hasher_.create(ordinal_, granularity_bytes_, kernel));
  VRAM_TRY(export_probe_.run(device_, ordinal_, granularity_bytes_));
  open_ = true;
  return VRAM_OK;
}

vram_status Device::identify() {
  VRAM_TRY(from_driver(driver_.cuDeviceGet(&device_, ordinal_)));
  int supported = 0;
  VRAM_TRY(from_driver(
      driver_.cuDeviceGetAttribute(&supported, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, device_)));
  if (supported == 0) return VRAM_UNSUPPORTED_DEVICE;
  VRAM_TRY(from_driver(driver_.cuDeviceGetName(name_, sizeof(name_), device_)));
  VRAM_TRY(from_driver(driver_.cuDeviceGetUuid_v2(&uuid_, device_)));
  VRAM_TRY(detect_mig());
  return from_driver(driver_.cuDeviceTotalMem_v2(&total_bytes_, device_));
}

/** No attribute of the driver API says it. The two versions of the UUID differ, and the name has the MIG profile. */
vram_status Device::detect_mig() {
  mig_ = std::strstr(name_, " MIG ") != nullptr;
  if (mig_ || driver_.cuDeviceGetUuid.get() == nullptr) return VRAM_OK;
  CUuuid whole_gpu = {};
  VRAM_TRY(from_driver(driver_.cuDeviceGetUuid(&whole_gpu, device_)));
  mig_ = std::memcmp(whole_gpu.bytes, uuid_.bytes, sizeof(uuid_.bytes)) != 0;
  return VRAM_OK;
}

vram_status Device::close() {
  open_ = false;
  if (context_ == nullptr) return VRAM_OK;
  VRAM_TRY(bind());
  VRAM_TRY(export_probe_.release());
  VRAM_TRY(hasher_.release());
  VRAM_TRY(copy_streams_.release());
  VRAM_TRY(staged_stream_.release());
  if (module_ != nullptr) VRAM_TRY(from_driver(driver_.cuModuleUnload(module_)));
  module_ = nullptr;
  VRAM_TRY(from_driver(driver_.cuDevicePrimaryCtxRelease_v2(device_)));
  context_ = nullptr;
  return VRAM_OK;
}

vram_status Device::get_info(vram_device_info *out_info) const {
  VRAM_TRY(bind());
  size_t free_bytes = 0, total_bytes = 0;
  VRAM_TRY(from_driver(driver_.cuMemGetInfo_v2(&free_bytes, &total_bytes)));
  *out_info = {};
  std::memcpy(out_info->name, name_, sizeof(name_));
  std::memcpy(out_info->uuid, uuid_.bytes, sizeof(uuid_.bytes));
  out_info->total_bytes = total_bytes_;
  out_info->free_bytes = free_bytes;
  out_info->granularity_bytes = granularity_bytes_;
  out_info->alignment_bytes = granularity_bytes_;
  out_info->mig = mig_ ? 1 : 0;
  out_info->export_status = export_probe_.result();
  return VRAM_OK;
}

}  // namespace vram
