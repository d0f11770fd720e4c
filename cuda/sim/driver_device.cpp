/** The driver API: initialisation, errors, devices, contexts. */
#include <algorithm>
#include <cstring>
#include <thread>

#include "call.h"

using namespace cuda_sim;

namespace cuda_sim {

Device *&current_device() {
  thread_local Device *device = nullptr;
  return device;
}

}  // namespace cuda_sim

namespace {

constexpr int kDriverVersion = 13000;

cu::Context context_of(Device &device) {
  return reinterpret_cast<cu::Context>(&device);
}

}  // namespace

cu::Result cuInit(unsigned flags) {
  return call_always("cuInit", [&] {
    if (flags != 0) return cu::kInvalidValue;
    const cu::Result result = simulator().initialise();
    simulator().latency.wait();
    return result;
  });
}

cu::Result cuDriverGetVersion(int *version) {
  return call_always("cuDriverGetVersion", [&] {
    if (version == nullptr) return cu::kInvalidValue;
    *version = kDriverVersion;
    return cu::kSuccess;
  });
}

cu::Result cuGetErrorName(cu::Result error, const char **name) {
  return call_always("cuGetErrorName", [&] {
    if (name == nullptr) return cu::kInvalidValue;
    static constexpr struct {
      cu::Result error;
      const char *name;
    } kNames[] = {
        {cu::kSuccess, "CUDA_SUCCESS"},
        {cu::kInvalidValue, "CUDA_ERROR_INVALID_VALUE"},
        {cu::kOutOfMemory, "CUDA_ERROR_OUT_OF_MEMORY"},
        {cu::kNotInitialized, "CUDA_ERROR_NOT_INITIALIZED"},
        {cu::kDeinitialized, "CUDA_ERROR_DEINITIALIZED"},
        {cu::kNoDevice, "CUDA_ERROR_NO_DEVICE"},
        {cu::kInvalidDevice, "CUDA_ERROR_INVALID_DEVICE"},
        {cu::kInvalidImage, "CUDA_ERROR_INVALID_IMAGE"},
        {cu::kInvalidContext, "CUDA_ERROR_INVALID_CONTEXT"},
        {cu::kNoBinaryForGpu, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
        {cu::kInvalidHandle, "CUDA_ERROR_INVALID_HANDLE"},
        {cu::kNotFound, "CUDA_ERROR_NOT_FOUND"},
        {cu::kNotReady, "CUDA_ERROR_NOT_READY"},
        {cu::kIllegalAddress, "CUDA_ERROR_ILLEGAL_ADDRESS"},
        {cu::kLaunchOutOfResources, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
        {kMisalignedAddress, "CUDA_ERROR_MISALIGNED_ADDRESS"},
        {cu::kLaunchFailed, "CUDA_ERROR_LAUNCH_FAILED"},
        {cu::kNotSupported, "CUDA_ERROR_NOT_SUPPORTED"},
        {cu::kUnknown, "CUDA_ERROR_UNKNOWN"},
    };
    const auto *found =
        std::find_if(std::begin(kNames), std::end(kNames), [&](const auto &entry) { return entry.error == error; });
    *name = found != std::end(kNames) ? found->name : nullptr;
    return *name != nullptr ? cu::kSuccess : cu::kInvalidValue;
  });
}

cu::Result cuDeviceGetCount(int *count) {
  return call("cuDeviceGetCount", [&] {
    if (count == nullptr) return cu::kInvalidValue;
    *count = static_cast<int>(simulator().devices().size());
    return cu::kSuccess;
  });
}

cu::Result cuDeviceGet(cu::Device *device, int ordinal) {
  return call("cuDeviceGet", [&] {
    if (device == nullptr) return cu::kInvalidValue;
    if (simulator().device(ordinal) == nullptr) return cu::kInvalidDevice;
    *device = ordinal;
    return cu::kSuccess;
  });
}

cu::Result cuDeviceGetName(char *name, int bytes, cu::Device device) {
  return call("cuDeviceGetName", [&] {
    if (name == nullptr || bytes <= 0) return cu::kInvalidValue;
    if (simulator().device(device) == nullptr) return cu::kInvalidDevice;
    const size_t length = std::min(kDeviceName.size(), static_cast<size_t>(bytes) - 1);
    std::memcpy(name, kDeviceName.data(), length);
    name[length] = '\0';
    return cu::kSuccess;
  });
}

cu::Result cuDeviceGetUuid_v2(cu::Uuid *uuid, cu::Device device) {
  return call("cuDeviceGetUuid_v2", [&] {
    if (uuid == nullptr) return cu::kInvalidValue;
    if (simulator().device(device) == nullptr) return cu::kInvalidDevice;
    *uuid = device_uuid(device);
    return cu::kSuccess;
  });
}

cu::Result cuDeviceTotalMem_v2(size_t *bytes, cu::Device device) {
  return call("cuDeviceTotalMem_v2", [&] {
    if (bytes == nullptr) return cu::kInvalidValue;
    const Device *found = simulator().device(device);
    if (found == nullptr) return cu::kInvalidDevice;
    *bytes = found->memory->capacity_bytes();
    return cu::kSuccess;
  });
}

cu::Result cuDeviceGetAttribute(int *value, cu::DeviceAttribute attribute, cu::Device device) {
  return call("cuDeviceGetAttribute", [&] {
    if (value == nullptr) return cu::kInvalidValue;
    if (simulator().device(device) == nullptr) return cu::kInvalidDevice;
    switch (attribute) {
      case cu::kAttributeMultiprocessorCount:
        *value = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
        return cu::kSuccess;
      case cu::kAttributeComputeCapabilityMajor:
        *value = 7;
        return cu::kSuccess;
      case cu::kAttributeComputeCapabilityMinor:
        *value = 5;
        return cu::kSuccess;
      case cu::kAttributeVirtualMemoryManagementSupported:
        *value = simulator().spoofs.report(Spoof::kVmm, 1);
        return cu::kSuccess;
    }
    return cu::kInvalidValue;
  });
}

cu::Result cuDevicePrimaryCtxRetain(cu::Context *context, cu::Device device) {
  return call("cuDevicePrimaryCtxRetain", [&] {
    if (context == nullptr) return cu::kInvalidValue;
    Device *found = simulator().device(device);
    if (found == nullptr) return cu::kInvalidDevice;
    found->context.retain();
    *context = context_of(*found);
    return cu::kSuccess;
  });
}

cu::Result cuDevicePrimaryCtxRelease_v2(cu::Device device) {
  return call("cuDevicePrimaryCtxRelease_v2", [&] {
    Device *found = simulator().device(device);
    if (found == nullptr) return cu::kInvalidDevice;
    return found->context.release() ? cu::kSuccess : cu::kInvalidContext;
  });
}

cu::Result cuCtxSetCurrent(cu::Context context) {
  return call("cuCtxSetCurrent", [&] {
    if (context == nullptr) {
      current_device() = nullptr;
      return cu::kSuccess;
    }
    for (const auto &device : simulator().devices()) {
      if (context_of(*device) != context) continue;
      if (!device->context.is_retained()) return cu::kInvalidContext;
      current_device() = device.get();
      return cu::kSuccess;
    }
    return cu::kInvalidContext;
  });
}
