#include "driver.h"

#include <dlfcn.h>

namespace vram_attach {

Driver::Driver(const std::string &path) {
  void *const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char *const reason = dlerror();
    throw Failure{VRAM_ATTACH_DRIVER_NOT_FOUND, reason != nullptr ? reason : path};
  }
  std::string missing;
#define FIND(name, parameters)                                            \
  name = reinterpret_cast<CUresult(*) parameters>(dlsym(library, #name)); \
  if (name == nullptr) missing = #name;
  VRAM_CUDA_FUNCTIONS(FIND)
#undef FIND
  if (!missing.empty()) throw Failure{VRAM_ATTACH_DRIVER_NOT_FOUND, path + " lacks " + missing};
  check(cuInit(0), "cuInit");
}

void Driver::check(CUresult result, const char *function) const {
  if (result == CUDA_SUCCESS) return;
  const char *name = nullptr;
  if (cuGetErrorName(result, &name) != CUDA_SUCCESS || name == nullptr) name = "an unknown error";
  throw Failure{VRAM_ATTACH_DRIVER_ERROR, std::string(function) + " returned " + name, "", static_cast<int>(result)};
}

std::string Driver::uuid_of(int device) const {
  CUuuid uuid = {};
  check(cuDeviceGetUuid_v2(&uuid, device), "cuDeviceGetUuid");
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < sizeof(uuid.bytes); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    const auto byte = static_cast<unsigned char>(uuid.bytes[i]);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

int Driver::device_of(const std::string &uuid) const {
  const std::string digits = uuid.substr(uuid.find('-') + 1);  // without "GPU-" or "MIG-"
  int count = 0;
  check(cuDeviceGetCount(&count), "cuDeviceGetCount");
  for (int device = 0; device < count; ++device) {
    if (uuid_of(device) == digits) return device;
  }
  throw Failure{VRAM_ATTACH_DEVICE_NOT_FOUND, "this process has no device " + uuid};
}

DeviceContext::DeviceContext(const Driver &driver, int device) : driver_(driver), device_(device) {
  driver_.check(driver_.cuCtxGetCurrent(&previous_), "cuCtxGetCurrent");
  if (previous_ != nullptr) {
    CUdevice current = -1;
    driver_.check(driver_.cuCtxGetDevice(&current), "cuCtxGetDevice");
    if (current == device_) return;
  }
  CUcontext primary = nullptr;
  driver_.check(driver_.cuDevicePrimaryCtxRetain(&primary, device_), "cuDevicePrimaryCtxRetain");
  retained_ = true;
  const CUresult made_current = driver_.cuCtxSetCurrent(primary);
  if (made_current != CUDA_SUCCESS) (void)driver_.cuDevicePrimaryCtxRelease_v2(device_);
  driver_.check(made_current, "cuCtxSetCurrent");
}

DeviceContext::~DeviceContext() {
  if (retained_) (void)driver_.cuDevicePrimaryCtxRelease_v2(device_);
}

void DeviceContext::restore() {
  if (retained_) (void)driver_.cuCtxSetCurrent(previous_);
}

}  // namespace vram_attach
