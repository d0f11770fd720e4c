/** Driver API functions for initialization, errors, devices and contexts. */
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

CUcontext context_of(Device &device) {
  return reinterpret_cast<CUcontext>(&device);
}

}  // namespace

CUresult cuInit(unsigned flags) {
  return call_always("cuInit", [&] {
    if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
    const CUresult result = simulator().initialize();
    simulator().latency.wait();
    return result;
  });
}

CUresult cuDriverGetVersion(int *version) {
  return call_always("cuDriverGetVersion", [&] {
    if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *version = simulator().spoofs.report(Spoof::kCudaVersion, kDriverVersion);
    return CUDA_SUCCESS;
  });
}

CUresult cuGetErrorName(CUresult error, const char **name) {
  return call_always("cuGetErrorName", [&] {
    if (name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    static constexpr struct {
      CUresult error;
      const char *name;
    } kNames[] = {
        {CUDA_SUCCESS, "CUDA_SUCCESS"},
        {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
        {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
        {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED"},
        {CUDA_ERROR_DEINITIALIZED, "CUDA_ERROR_DEINITIALIZED"},
        {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
        {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"},
        {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"},
        {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"},
        {CUDA_ERROR_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
        {CUDA_ERROR_OPERATING_SYSTEM, "CUDA_ERROR_OPERATING_SYSTEM"},
        {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"},
        {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
        {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY"},
        {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"},
        {CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
        {CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED"},
        {CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED"},
        {CUDA_ERROR_MISALIGNED_ADDRESS, "CUDA_ERROR_MISALIGNED_ADDRESS"},
        {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"},
        {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED"},
        {CUDA_ERROR_UNKNOWN, "CUDA_ERROR_UNKNOWN"},
    };
    const auto *found =
        std::find_if(std::begin(kNames), std::end(kNames), [&](const auto &entry) { return entry.error == error; });
    *name = found != std::end(kNames) ? found->name : nullptr;
    return *name != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuDeviceGetCount(int *count) {
  return call("cuDeviceGetCount", [&] {
    if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *count = static_cast<int>(simulator().devices().size());
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGet(CUdevice *device, int ordinal) {
  return call("cuDeviceGet", [&] {
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (simulator().device(ordinal) == nullptr) return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetName(char *name, int bytes, CUdevice device) {
  return call("cuDeviceGetName", [&] {
    if (name == nullptr || bytes <= 0) return CUDA_ERROR_INVALID_VALUE;
    if (simulator().device(device) == nullptr) return CUDA_ERROR_INVALID_DEVICE;
    const size_t length = std::min(kDeviceName.size(), static_cast<size_t>(bytes) - 1);
    std::memcpy(name, kDeviceName.data(), length);
    name[length] = '\0';
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device) {
  return call("cuDeviceGetUuid_v2", [&] {
    if (uuid == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const Device *found = simulator().device(device);
    if (found == nullptr) return CUDA_ERROR_INVALID_DEVICE;
    *uuid = device_uuid(found->index);
    return CUDA_SUCCESS;
  });
}

/** The first version, which old programs call. It is not in the list of functions, so faults cannot name it. */
extern "C" __attribute__((visibility("default"))) CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice device) {
  return call("cuDeviceGetUuid", [&] {
    if (uuid == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const Device *found = simulator().device(device);
    if (found == nullptr) return CUDA_ERROR_INVALID_DEVICE;
    *uuid = device_uuid(found->index);
    // A partitioned GPU has a UUID of its own.
    if (simulator().spoofs.report(Spoof::kMig, 0) != 0) uuid->bytes[0] = static_cast<char>(~uuid->bytes[0]);
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
  return call("cuDeviceTotalMem_v2", [&] {
    if (bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const Device *found = simulator().device(device);
    if (found == nullptr) return CUDA_ERROR_INVALID_DEVICE;
    *bytes = found->memory->capacity_bytes();
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
  return call("cuDeviceGetAttribute", [&] {
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (simulator().device(device) == nullptr) return CUDA_ERROR_INVALID_DEVICE;
    switch (attribute) {
      case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
        *value = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
        return CUDA_SUCCESS;
      case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
        *value = 7;
        return CUDA_SUCCESS;
      case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
        *value = 5;
        return CUDA_SUCCESS;
      case CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED:
        *value = simulator().spoofs.report(Spoof::kVmm, 1);
        return CUDA_SUCCESS;
      case CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED:
        *value = simulator().spoofs.report(Spoof::kExport, 1);
        return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned flags) {
  return call("cuDevicePrimaryCtxSetFlags_v2", [&] {
    Device *found = simulator().device(device);
    if (found == nullptr) return CUDA_ERROR_INVALID_DEVICE;
    if ((flags & ~static_cast<unsigned>(CU_CTX_SCHED_BLOCKING_SYNC)) != 0) return CUDA_ERROR_INVALID_VALUE;
    found->context.set_blocking(flags != 0);
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  return call("cuDevicePrimaryCtxRetain", [&] {
    if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Device *found = simulator().device(device);
    if (found == nullptr) return CUDA_ERROR_INVALID_DEVICE;
    found->context.retain();
    *context = context_of(*found);
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  return call("cuDevicePrimaryCtxRelease_v2", [&] {
    Device *found = simulator().device(device);
    if (found == nullptr) return CUDA_ERROR_INVALID_DEVICE;
    return found->context.release() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
  });
}

CUresult cuCtxSetCurrent(CUcontext context) {
  return call("cuCtxSetCurrent", [&] {
    if (context == nullptr) {
      current_device() = nullptr;
      return CUDA_SUCCESS;
    }
    for (const auto &device : simulator().devices()) {
      if (context_of(*device) != context) continue;
      if (!device->context.is_retained()) return CUDA_ERROR_INVALID_CONTEXT;
      current_device() = device.get();
      return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_CONTEXT;
  });
}

CUresult cuCtxGetCurrent(CUcontext *context) {
  return call("cuCtxGetCurrent", [&] {
    if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *context = current_device() != nullptr ? context_of(*current_device()) : nullptr;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetDevice(CUdevice *device) {
  return call("cuCtxGetDevice", [&] {
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (current_device() == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    *device = current_device()->ordinal;
    return CUDA_SUCCESS;
  });
}
