#include <thread>

#include "questions.h"

namespace probe {
namespace {

void ask_contexts(Asker &a) {
  size_t free = 0, total = 0;
  std::thread([&] {
    a.say("thread-without-context", a.driver.cuMemGetInfo_v2(&free, &total));
    a.say("copy", a.copy_in(4096, 16));
    a.say("stream-wait", a.wait());
  }).join();
  a.say("current-null", a.driver.cuCtxSetCurrent(nullptr));
  a.say("info", a.driver.cuMemGetInfo_v2(&free, &total));
  a.say("release", a.driver.cuDevicePrimaryCtxRelease_v2(0));
  a.say("release-again", a.driver.cuDevicePrimaryCtxRelease_v2(0));
  a.say("device-99", a.driver.cuDevicePrimaryCtxRelease_v2(99));
}

void ask_devices(Asker &a) {
  CUdevice device = 0;
  a.say("device-99", a.driver.cuDeviceGet(&device, 99));
  a.say("device--1", a.driver.cuDeviceGet(&device, -1));
  int value = 0;
  a.say("attribute-9999", a.driver.cuDeviceGetAttribute(&value, static_cast<CUdevice_attribute>(9999), 0));
  a.say("vmm", a.driver.cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 0));
  a.say_value("value", static_cast<unsigned>(value));
  char name[8] = {};
  a.say("short-name", a.driver.cuDeviceGetName(name, 4, 0));
  std::printf(" '%s'", name);
  const char *text = nullptr;
  a.say("error-name", a.driver.cuGetErrorName(static_cast<CUresult>(12345), &text));
  std::printf(" %s", text != nullptr ? text : "null");
}

void ask_reuse(Asker &a) {
  const size_t bytes = size_t{64} << 20;
  const Memory memory = create(a.driver, bytes, false);
  require("fill", a.driver.cuMemsetD8Async(memory.address, 0xc7, bytes, a.stream));
  require("fill", a.wait());
  require("unmap", a.driver.cuMemUnmap(memory.address, bytes));
  require("release", a.driver.cuMemRelease(memory.handle));
  size_t found = 0;
  for (int i = 0; i < 8; ++i) {
    const Memory next = create(a.driver, bytes, false);
    for (size_t offset = 0; offset < bytes; offset += kGranule) {
      require("copy", a.copy_out(next.address + offset, 64));
      require("copy", a.wait());
      found += static_cast<unsigned char *>(a.pinned)[0] == 0xc7;
    }
  }
  a.say_value("granules-with-old-bytes-of-32", found);
}

/** What exists before the error. */
struct Objects {
  explicit Objects(const Asker &a)
      : memory(create(a.driver, kGranule, false)),
        other(create(a.driver, kGranule, false)),
        reserved(a.reserve(kGranule)),
        module(a.load()),
        unmapped(a.take(kGranule)) {
    require("event", a.driver.cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
  }

  const Memory memory;
  const Memory other;
  const CUdeviceptr reserved;
  const CUmodule module;
  const CUmemGenericAllocationHandle unmapped;
  CUevent event = nullptr;
};

void ask_devices_after_error(Asker &a) {
  int value = 0;
  size_t free = 0, total = 0;
  CUcontext context = nullptr;
  a.say("cuDriverGetVersion", a.driver.cuDriverGetVersion(&value));
  a.say("cuDeviceGetCount", a.driver.cuDeviceGetCount(&value));
  a.say("cuDeviceTotalMem", a.driver.cuDeviceTotalMem_v2(&total, 0));
  a.say("cuDevicePrimaryCtxRetain", a.driver.cuDevicePrimaryCtxRetain(&context, 0));
  a.say("cuCtxSetCurrent", a.driver.cuCtxSetCurrent(context));
  a.say("cuMemGetInfo", a.driver.cuMemGetInfo_v2(&free, &total));
}

void ask_memory_after_error(Asker &a, const Objects &before) {
  const CUdeviceptr sealed = before.memory.address;
  CUmemGenericAllocationHandle handle = 0;
  CUdeviceptr address = 0;
  CUmemAllocationProp prop = properties(false);
  a.say("cuMemCreate", a.driver.cuMemCreate(&handle, kGranule, &prop, 0));
  a.say("cuMemAddressReserve", a.driver.cuMemAddressReserve(&address, kGranule, 0, 0, 0));
  a.say("cuMemMap", a.driver.cuMemMap(before.reserved, kGranule, 0, before.unmapped, 0));
  a.say("cuMemSetAccess", set_access(a.driver, sealed, kGranule, CU_MEM_ACCESS_FLAGS_PROT_READ));
  a.say_access("cuMemGetAccess", sealed);
  a.say("cuMemRetain", a.driver.cuMemRetainAllocationHandle(&handle, reinterpret_cast<void *>(sealed)));
  a.say("cuMemGetProperties", a.driver.cuMemGetAllocationPropertiesFromHandle(&prop, before.memory.handle));
  a.say_attributes("cuPointerGetAttributes", sealed);
}

/** Every function that libvram calls on its way out, after the context was destroyed. */
void ask_after_error(Asker &a) {
  const Objects before(a);
  a.destroy_context();
  ask_devices_after_error(a);
  ask_memory_after_error(a, before);
  a.say("copy", a.copy_in(before.other.address, 16));
  a.say("cuStreamSynchronize", a.wait());
  a.say("cuEventRecord", a.driver.cuEventRecord(before.event, a.stream));
  a.say("cuEventSynchronize", a.driver.cuEventSynchronize(before.event));
  a.say("cuEventDestroy", a.driver.cuEventDestroy_v2(before.event));
  a.say("cuStreamDestroy", a.driver.cuStreamDestroy_v2(a.stream));
  a.say("cuModuleUnload", a.driver.cuModuleUnload(before.module));
  a.say("cuMemUnmap", a.driver.cuMemUnmap(before.memory.address, kGranule));
  a.say("cuMemAddressFree", a.driver.cuMemAddressFree(before.memory.address, kGranule));
  a.say("cuMemRelease", a.driver.cuMemRelease(before.memory.handle));
  a.say("cuMemHostAlloc", a.driver.cuMemHostAlloc(&a.pinned, 4096, 0));
  a.say("cuMemFreeHost", a.driver.cuMemFreeHost(a.pinned));
  a.say("cuDevicePrimaryCtxRelease", a.driver.cuDevicePrimaryCtxRelease_v2(0));
  a.say("cuDevicePrimaryCtxRelease", a.driver.cuDevicePrimaryCtxRelease_v2(0));
}

}  // namespace

Questions context_questions() {
  return {
      {"contexts", ask_contexts},
      {"devices", ask_devices},
      {"reuse", ask_reuse},
      {"after-error", ask_after_error},
  };
}

}  // namespace probe
