/**
 * Asks a driver what its functions return where NVIDIA's manual is silent: arguments at their limits, and every function
 * after an error that destroyed the context. Each question runs in a process of its own. Compare a GPU's answers with
 * the simulator's.
 *
 *     facts DRIVER KERNELS            all questions, one line each
 *     facts DRIVER KERNELS QUESTION   one question
 */
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <thread>
#include <vector>

#include "../kernels/tree_level.h"
#include "driver.h"

namespace probe {
namespace {

constexpr CUmemAccess_flags kNone = CU_MEM_ACCESS_FLAGS_PROT_NONE;
constexpr CUmemAccess_flags kRead = CU_MEM_ACCESS_FLAGS_PROT_READ;
constexpr CUmemAccess_flags kReadWrite = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;

const char *driver_path = nullptr;
const char *kernels_path = nullptr;

class Asker {
 public:
  Asker() : driver(open_driver(driver_path)) {
    use_device(driver, 0);
    require("cuStreamCreate", driver.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
    require("cuMemHostAlloc", driver.cuMemHostAlloc(&pinned, 4 * kGranule, 0));
  }

  void say(const char *what, CUresult result) const {
    std::printf("  %s=%s", what, describe(driver, result).c_str());
    std::fflush(stdout);
  }
  void say_value(const char *what, unsigned long long value) const {
    std::printf("  %s:%llu", what, value);
    std::fflush(stdout);
  }
  void say_access(const char *what, CUdeviceptr address, int device = 0) const {
    const CUmemLocation location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
    unsigned long long flags = 99;
    const CUresult result = driver.cuMemGetAccess(&flags, &location, address);
    if (result == CUDA_SUCCESS) say_value(what, flags);
    if (result != CUDA_SUCCESS) say(what, result);
  }
  CUresult wait() const { return driver.cuStreamSynchronize(stream); }
  CUresult copy_in(CUdeviceptr address, size_t bytes) const {
    return driver.cuMemcpyHtoDAsync_v2(address, pinned, bytes, stream);
  }
  CUresult copy_out(CUdeviceptr address, size_t bytes) const {
    return driver.cuMemcpyDtoHAsync_v2(pinned, address, bytes, stream);
  }
  size_t free_bytes() const {
    size_t free = 0, total = 0;
    require("cuMemGetInfo", driver.cuMemGetInfo_v2(&free, &total));
    return free;
  }
  CUdeviceptr reserve(size_t bytes) const {
    CUdeviceptr address = 0;
    require("reserve", driver.cuMemAddressReserve(&address, bytes, 0, 0, 0));
    return address;
  }
  CUmemGenericAllocationHandle take(size_t bytes) const {
    const CUmemAllocationProp prop = properties(false);
    CUmemGenericAllocationHandle handle = 0;
    require("cuMemCreate", driver.cuMemCreate(&handle, bytes, &prop, 0));
    return handle;
  }
  CUmodule load() const {
    std::ifstream file(kernels_path, std::ios::binary);
    const std::string image{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    CUmodule module = nullptr;
    require("cuModuleLoadData", driver.cuModuleLoadData(&module, image.c_str()));
    return module;
  }
  CUfunction tree_level(CUmodule module) const {
    CUfunction function = nullptr;
    require("function", driver.cuModuleGetFunction(&function, module, vram::tree_level::kKernelName));
    return function;
  }
  CUresult launch(CUfunction function, CUdeviceptr in, uint64_t bytes, CUdeviceptr out, unsigned grid,
                  unsigned block) const {
    void *parameters[] = {&in, &bytes, &out};
    return driver.cuLaunchKernel(function, grid, 1, 1, block, 1, 1, 0, stream, parameters, nullptr);
  }
  /** Writes to read-only memory with the tree kernel, which destroys the context. */
  void destroy_context() const {
    const Memory memory = create(driver, kGranule, false);
    require("seal", set_access(driver, memory.address, kGranule, kRead));
    const CUresult launched = launch(tree_level(load()), memory.address, 4096, memory.address, 1, 64);
    say("launch", launched);
    say("wait", wait());
  }

  Driver driver;
  CUstream stream = nullptr;
  void *pinned = nullptr;
};

using Question = std::pair<const char *, std::function<void(Asker &)>>;

void ask_create(Asker &a) {
  const auto create = [&a](const char *what, size_t bytes, CUmemAllocationProp prop, unsigned long long flags = 0) {
    CUmemGenericAllocationHandle handle = 0;
    a.say(what, a.driver.cuMemCreate(&handle, bytes, &prop, flags));
  };
  CUmemAllocationProp prop = properties(false);
  create("0-bytes", 0, prop);
  create("4096-bytes", 4096, prop);
  create("2MiB+4096", kGranule + 4096, prop);
  create("16TiB", size_t{16} << 40, prop);
  create("all-free+2MiB", a.free_bytes() / kGranule * kGranule + kGranule, prop);
  create("flags-1", kGranule, prop, 1);
  prop.location.id = 99;
  create("device-99", kGranule, prop);
  prop.location.id = -1;
  create("device--1", kGranule, prop);
  prop = properties(false);
  prop.location.type = static_cast<CUmemLocationType>(0);
  create("location-0", kGranule, prop);
  prop = properties(false);
  prop.type = static_cast<CUmemAllocationType>(0);
  create("type-0", kGranule, prop);
  prop = properties(true);
  create("exportable", kGranule, prop);
}

void ask_granularity(Asker &a) {
  size_t bytes = 0;
  CUmemAllocationProp prop = properties(false);
  a.say("minimum", a.driver.cuMemGetAllocationGranularity(&bytes, &prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
  a.say_value("bytes", bytes);
  a.say("recommended",
        a.driver.cuMemGetAllocationGranularity(&bytes, &prop, static_cast<CUmemAllocationGranularity_flags>(1)));
  a.say_value("bytes", bytes);
  prop.location.id = 99;
  a.say("device-99", a.driver.cuMemGetAllocationGranularity(&bytes, &prop, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
}

void ask_reserve(Asker &a) {
  const auto reserve = [&a](const char *what, size_t bytes, size_t alignment, CUdeviceptr hint = 0) {
    CUdeviceptr address = 0;
    a.say(what, a.driver.cuMemAddressReserve(&address, bytes, alignment, hint, 0));
    if (address != 0) a.say_value("trailing-zeros", static_cast<unsigned>(__builtin_ctzll(address)));
  };
  reserve("0-bytes", 0, 0);
  reserve("4096-bytes", 4096, 0);
  reserve("2MiB", kGranule, 0);
  reserve("alignment-3", kGranule, 3);
  reserve("alignment-4096", kGranule, 4096);
  reserve("alignment-1GiB", kGranule, size_t{1} << 30);
  reserve("64TiB", size_t{64} << 40, 0);
  reserve("256TiB", size_t{256} << 40, 0);
  reserve("hint-4096", kGranule, 0, 4096);
}

void ask_map(Asker &a) {
  const CUmemGenericAllocationHandle handle = a.take(2 * kGranule);
  const CUdeviceptr address = a.reserve(4 * kGranule);
  a.say("half", a.driver.cuMemMap(address, kGranule, 0, handle, 0));
  a.say("offset", a.driver.cuMemMap(address, kGranule, kGranule, handle, 0));
  a.say("unaligned", a.driver.cuMemMap(address + 4096, 2 * kGranule, 0, handle, 0));
  a.say("too-long", a.driver.cuMemMap(address, 3 * kGranule, 0, handle, 0));
  a.say("flags-1", a.driver.cuMemMap(address, 2 * kGranule, 0, handle, 1));
  a.say("beyond", a.driver.cuMemMap(address + 3 * kGranule, 2 * kGranule, 0, handle, 0));
  a.say("handle-0", a.driver.cuMemMap(address, 2 * kGranule, 0, 0, 0));
  a.say("whole", a.driver.cuMemMap(address, 2 * kGranule, 0, handle, 0));
  a.say("again", a.driver.cuMemMap(address, 2 * kGranule, 0, handle, 0));
  a.say("overlapping", a.driver.cuMemMap(address + kGranule, 2 * kGranule, 0, handle, 0));
  a.say("elsewhere", a.driver.cuMemMap(address + 2 * kGranule, 2 * kGranule, 0, handle, 0));
  a.say_access("access", address);
  a.say("copy", a.copy_in(address, 16));
  a.say("wait", a.wait());
}

void ask_unmap(Asker &a) {
  const CUdeviceptr address = a.reserve(8 * kGranule);
  for (size_t i = 0; i < 4; ++i) {
    require("map", a.driver.cuMemMap(address + 2 * i * kGranule, 2 * kGranule, 0, a.take(2 * kGranule), 0));
  }
  a.say("half", a.driver.cuMemUnmap(address, kGranule));
  a.say("0-bytes", a.driver.cuMemUnmap(address, 0));
  a.say("one-and-a-half", a.driver.cuMemUnmap(address, 3 * kGranule));
  a.say("whole", a.driver.cuMemUnmap(address, 2 * kGranule));
  a.say("again", a.driver.cuMemUnmap(address, 2 * kGranule));
  a.say("two-mappings", a.driver.cuMemUnmap(address + 2 * kGranule, 4 * kGranule));
  a.say("free-while-mapped", a.driver.cuMemAddressFree(address, 8 * kGranule));
  a.say("free-half", a.driver.cuMemAddressFree(address, 4 * kGranule));
  a.say("last", a.driver.cuMemUnmap(address + 6 * kGranule, 2 * kGranule));
  a.say("free", a.driver.cuMemAddressFree(address, 8 * kGranule));
  a.say("free-again", a.driver.cuMemAddressFree(address, 8 * kGranule));
}

void ask_access(Asker &a) {
  const CUdeviceptr address = a.reserve(8 * kGranule);
  for (size_t i = 0; i < 3; ++i) {
    require("map", a.driver.cuMemMap(address + 2 * i * kGranule, 2 * kGranule, 0, a.take(2 * kGranule), 0));
  }
  a.say_access("mapped", address);
  a.say("half", set_access(a.driver, address, kGranule, kReadWrite));
  a.say("two-mappings", set_access(a.driver, address, 4 * kGranule, kReadWrite));
  a.say("one-and-a-half", set_access(a.driver, address, 3 * kGranule, kReadWrite));
  a.say("with-unmapped", set_access(a.driver, address, 8 * kGranule, kReadWrite));
  a.say_access("first", address);
  a.say_access("last-byte", address + 4 * kGranule - 1);
  a.say_access("third", address + 4 * kGranule);
  a.say_access("reserved", address + 6 * kGranule);
  a.say_access("low-address", 4096);
  a.say_access("device-99", address, 99);
  a.say("0-bytes", set_access(a.driver, address, 0, kRead));
  a.say("flags-2", set_access(a.driver, address, 2 * kGranule, static_cast<CUmemAccess_flags>(2)));
  const CUmemAccessDesc far_away = {{CU_MEM_LOCATION_TYPE_DEVICE, 99}, kRead};
  a.say("device-99", a.driver.cuMemSetAccess(address, 2 * kGranule, &far_away, 1));
  const CUmemAccessDesc host = {{static_cast<CUmemLocationType>(2), 0}, kRead};
  a.say("host", a.driver.cuMemSetAccess(address, 2 * kGranule, &host, 1));
  const CUmemAccessDesc valid = {{CU_MEM_LOCATION_TYPE_DEVICE, 0}, kRead};
  a.say("count-0", a.driver.cuMemSetAccess(address, 2 * kGranule, &valid, 0));
  a.say("null", a.driver.cuMemSetAccess(address, 2 * kGranule, nullptr, 1));
  a.say_access("first", address);
}

void ask_release(Asker &a) {
  const Memory memory = create(a.driver, 2 * kGranule, false);
  const size_t with_memory = a.free_bytes();
  a.say("while-mapped", a.driver.cuMemRelease(memory.handle));
  a.say_value("freed", a.free_bytes() - with_memory);
  a.say("memset", a.driver.cuMemsetD8Async(memory.address, 1, kGranule, a.stream));
  a.say("wait", a.wait());
  CUmemGenericAllocationHandle handle = 0;
  a.say("retain", a.driver.cuMemRetainAllocationHandle(&handle, reinterpret_cast<void *>(memory.address)));
  a.say("release", a.driver.cuMemRelease(handle));
  a.say("unmap", a.driver.cuMemUnmap(memory.address, 2 * kGranule));
  a.say_value("freed", a.free_bytes() - with_memory);
  a.say("handle-0", a.driver.cuMemRelease(0));
}

void ask_retain(Asker &a) {
  const Memory memory = create(a.driver, 2 * kGranule, false);
  CUmemGenericAllocationHandle handle = 0;
  a.say("first-byte", a.driver.cuMemRetainAllocationHandle(&handle, reinterpret_cast<void *>(memory.address)));
  a.say_value("same-handle", handle == memory.handle);
  const CUdeviceptr last = memory.address + 2 * kGranule - 1;
  a.say("last-byte", a.driver.cuMemRetainAllocationHandle(&handle, reinterpret_cast<void *>(last)));
  CUmemAllocationProp prop = {};
  a.say("properties", a.driver.cuMemGetAllocationPropertiesFromHandle(&prop, handle));
  a.say_value("type", prop.type);
  a.say_value("location", prop.location.type);
  a.say_value("id", static_cast<unsigned>(prop.location.id));
  a.say_value("handle-types", prop.requestedHandleTypes);
  a.say_value("rdma", prop.allocFlags.gpuDirectRDMACapable);
  a.say_value("compression", prop.allocFlags.compressionType);
  const CUdeviceptr reserved = a.reserve(kGranule);
  a.say("reserved", a.driver.cuMemRetainAllocationHandle(&handle, reinterpret_cast<void *>(reserved)));
  a.say("host", a.driver.cuMemRetainAllocationHandle(&handle, a.pinned));
  a.say("handle-0", a.driver.cuMemGetAllocationPropertiesFromHandle(&prop, 0));
}

void ask_attributes_of(Asker &a, const char *what, CUdeviceptr address) {
  unsigned memory_type = 77;
  unsigned managed = 0x77777777;
  void *host = reinterpret_cast<void *>(0x77);
  int ordinal = 77;
  CUpointer_attribute names[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_HOST_POINTER,
                                 CU_POINTER_ATTRIBUTE_IS_MANAGED, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL};
  void *values[] = {&memory_type, &host, &managed, &ordinal};
  a.say(what, a.driver.cuPointerGetAttributes(4, names, values, address));
  const char *const host_name = host == nullptr ? "null" : (host == a.pinned ? "itself" : "other");
  std::printf(" type %u, host %s, managed %x, ordinal %d", memory_type, host_name, managed, ordinal);
}

void ask_attributes(Asker &a) {
  const Memory memory = create(a.driver, kGranule, false);
  ask_attributes_of(a, "device", memory.address);
  ask_attributes_of(a, "last-byte", memory.address + kGranule - 1);
  require("seal", set_access(a.driver, memory.address, kGranule, kRead));
  ask_attributes_of(a, "sealed", memory.address);
  require("none", set_access(a.driver, memory.address, kGranule, kNone));
  ask_attributes_of(a, "no-access", memory.address);
  ask_attributes_of(a, "reserved", a.reserve(kGranule));
  ask_attributes_of(a, "pinned", reinterpret_cast<CUdeviceptr>(a.pinned));
  std::vector<char> pageable(100);
  ask_attributes_of(a, "pageable", reinterpret_cast<CUdeviceptr>(pageable.data()));
  ask_attributes_of(a, "null", 0);
}

void ask_copies(Asker &a) {
  const Memory memory = create(a.driver, kGranule, false);
  a.say("0-bytes", a.copy_in(memory.address, 0));
  a.say("overrun", a.copy_in(memory.address, kGranule + 16));
  a.say("overrun-out", a.copy_out(memory.address, kGranule + 16));
  a.say("overrun-memset", a.driver.cuMemsetD8Async(memory.address, 0, kGranule + 16, a.stream));
  a.say("null", a.copy_in(0, 16));
  a.say("reserved", a.copy_in(a.reserve(kGranule), 16));
  a.say("reserved-out", a.copy_out(a.reserve(kGranule), 16));
  a.say("memset-reserved", a.driver.cuMemsetD8Async(a.reserve(kGranule), 0, 16, a.stream));
  a.say("memset-0-bytes", a.driver.cuMemsetD8Async(memory.address, 0, 0, a.stream));
  a.say("memset-null", a.driver.cuMemsetD8Async(0, 0, 16, a.stream));
  a.say("wait", a.wait());
}

void ask_copies_across(Asker &a) {
  const CUdeviceptr address = a.reserve(2 * kGranule);
  for (size_t i = 0; i < 2; ++i) require("map", a.driver.cuMemMap(address + i * kGranule, kGranule, 0, a.take(kGranule), 0));
  require("access", set_access(a.driver, address, 2 * kGranule, kReadWrite));
  a.say("in", a.copy_in(address + kGranule - 4096, 8192));
  a.say("out", a.copy_out(address + kGranule - 4096, 8192));
  a.say("memset", a.driver.cuMemsetD8Async(address, 0, 2 * kGranule, a.stream));
  a.say("wait", a.wait());
  require("seal", set_access(a.driver, address + kGranule, kGranule, kRead));
  a.say("out-of-both", a.copy_out(address + kGranule - 4096, 8192));
  a.say("into-sealed-second", a.copy_in(address + kGranule - 4096, 8192));
  a.say("memset-into-sealed-second", a.driver.cuMemsetD8Async(address, 0, 2 * kGranule, a.stream));
  a.say("into-writable-first", a.copy_in(address, kGranule));
  a.say("wait", a.wait());
}

void ask_launch(Asker &a) {
  const CUmodule module = a.load();
  const CUfunction function = a.tree_level(module);
  const Memory memory = create(a.driver, 2 * kGranule, false);
  const CUdeviceptr out = memory.address + kGranule;
  a.say("grid-0", a.launch(function, memory.address, 4096, out, 0, 64));
  a.say("block-65", a.launch(function, memory.address, 4096, out, 1, 65));
  a.say("block-0", a.launch(function, memory.address, 4096, out, 1, 0));
  a.say("good", a.launch(function, memory.address, 4096, out, 1, 64));
  a.say("wait", a.wait());
  CUfunction missing = nullptr;
  a.say("missing-function", a.driver.cuModuleGetFunction(&missing, module, "missing"));
  a.say("function-null", a.launch(nullptr, memory.address, 4096, out, 1, 64));
  a.say("misaligned", a.launch(function, memory.address + 1, 4096, out, 1, 64));
  a.say("wait", a.wait());
}

void ask_launch_outside(Asker &a) {
  const CUfunction function = a.tree_level(a.load());
  const Memory memory = create(a.driver, 2 * kGranule, false);
  a.say("launch", a.launch(function, a.reserve(kGranule), 4096, memory.address, 1, 64));
  a.say("wait", a.wait());
}

void ask_modules(Asker &a) {
  CUmodule module = nullptr;
  a.say("text", a.driver.cuModuleLoadData(&module, "not a module at all, but a long text that ends here"));
  a.say("empty", a.driver.cuModuleLoadData(&module, ""));
  const CUmodule loaded = a.load();
  a.say("unload", a.driver.cuModuleUnload(loaded));
  a.say("null", a.driver.cuModuleUnload(nullptr));
}

void ask_events(Asker &a) {
  CUevent event = nullptr;
  a.say("create", a.driver.cuEventCreate(&event, 3));  // CU_EVENT_BLOCKING_SYNC and CU_EVENT_DISABLE_TIMING
  a.say("wait-before-record", a.driver.cuEventSynchronize(event));
  a.say("record", a.driver.cuEventRecord(event, a.stream));
  a.say("wait", a.driver.cuEventSynchronize(event));
  a.say("destroy", a.driver.cuEventDestroy_v2(event));
  a.say("null", a.driver.cuEventDestroy_v2(nullptr));
  a.say("stream-null", a.driver.cuStreamDestroy_v2(nullptr));
  CUstream stream = nullptr;
  a.say("stream-flags-2", a.driver.cuStreamCreate(&stream, 2));
  a.say("event-flags-64", a.driver.cuEventCreate(&event, 64));
}

void ask_pinned(Asker &a) {
  void *buffer = nullptr;
  a.say("0-bytes", a.driver.cuMemHostAlloc(&buffer, 0, 0));
  a.say("flags-64", a.driver.cuMemHostAlloc(&buffer, 4096, 64));
  a.say("16TiB", a.driver.cuMemHostAlloc(&buffer, size_t{16} << 40, 0));
  a.say("free", a.driver.cuMemFreeHost(a.pinned));
  a.say("free-again", a.driver.cuMemFreeHost(a.pinned));
  a.say("free-null", a.driver.cuMemFreeHost(nullptr));
}

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

/** Every function that libvram calls on its way out, after the context was destroyed. */
void ask_after_error(Asker &a) {
  const Memory memory = create(a.driver, kGranule, false);
  const Memory other = create(a.driver, kGranule, false);
  const CUdeviceptr reserved = a.reserve(kGranule);
  CUevent event = nullptr;
  require("event", a.driver.cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
  const CUmodule module = a.load();
  const CUmemGenericAllocationHandle unmapped = a.take(kGranule);
  a.destroy_context();
  int value = 0;
  size_t free = 0, total = 0;
  CUmemGenericAllocationHandle handle = 0;
  CUdeviceptr address = 0;
  CUcontext context = nullptr;
  CUmemAllocationProp prop = properties(false);
  a.say("cuDriverGetVersion", a.driver.cuDriverGetVersion(&value));
  a.say("cuDeviceGetCount", a.driver.cuDeviceGetCount(&value));
  a.say("cuDeviceTotalMem", a.driver.cuDeviceTotalMem_v2(&total, 0));
  a.say("cuCtxSetCurrent", a.driver.cuDevicePrimaryCtxRetain(&context, 0));
  a.say("cuCtxSetCurrent", a.driver.cuCtxSetCurrent(context));
  a.say("cuMemGetInfo", a.driver.cuMemGetInfo_v2(&free, &total));
  a.say("cuMemCreate", a.driver.cuMemCreate(&handle, kGranule, &prop, 0));
  a.say("cuMemAddressReserve", a.driver.cuMemAddressReserve(&address, kGranule, 0, 0, 0));
  a.say("cuMemMap", a.driver.cuMemMap(reserved, kGranule, 0, unmapped, 0));
  a.say("cuMemSetAccess", set_access(a.driver, memory.address, kGranule, kRead));
  a.say_access("cuMemGetAccess", memory.address);
  a.say("cuMemRetain", a.driver.cuMemRetainAllocationHandle(&handle, reinterpret_cast<void *>(memory.address)));
  a.say("cuMemGetProperties", a.driver.cuMemGetAllocationPropertiesFromHandle(&prop, memory.handle));
  ask_attributes_of(a, "cuPointerGetAttributes", memory.address);
  a.say("copy", a.copy_in(other.address, 16));
  a.say("cuStreamSynchronize", a.wait());
  a.say("cuEventRecord", a.driver.cuEventRecord(event, a.stream));
  a.say("cuEventSynchronize", a.driver.cuEventSynchronize(event));
  a.say("cuEventDestroy", a.driver.cuEventDestroy_v2(event));
  a.say("cuStreamDestroy", a.driver.cuStreamDestroy_v2(a.stream));
  a.say("cuModuleUnload", a.driver.cuModuleUnload(module));
  a.say("cuMemUnmap", a.driver.cuMemUnmap(memory.address, kGranule));
  a.say("cuMemAddressFree", a.driver.cuMemAddressFree(memory.address, kGranule));
  a.say("cuMemRelease", a.driver.cuMemRelease(memory.handle));
  a.say("cuMemHostAlloc", a.driver.cuMemHostAlloc(&a.pinned, 4096, 0));
  a.say("cuMemFreeHost", a.driver.cuMemFreeHost(a.pinned));
  a.say("cuDevicePrimaryCtxRelease", a.driver.cuDevicePrimaryCtxRelease_v2(0));
  a.say("cuDevicePrimaryCtxRelease", a.driver.cuDevicePrimaryCtxRelease_v2(0));
}

const std::vector<Question> &questions() {
  static const std::vector<Question> all = {
      {"granularity", ask_granularity}, {"create", ask_create},   {"reserve", ask_reserve},
      {"map", ask_map},                 {"unmap", ask_unmap},     {"access", ask_access},
      {"release", ask_release},         {"retain", ask_retain},   {"attributes", ask_attributes},
      {"copies", ask_copies},           {"copies-across", ask_copies_across},
      {"launch", ask_launch},           {"launch-outside", ask_launch_outside},
      {"modules", ask_modules},         {"events", ask_events},   {"pinned", ask_pinned},
      {"contexts", ask_contexts},       {"devices", ask_devices}, {"reuse", ask_reuse},
      {"after-error", ask_after_error},
  };
  return all;
}

int answer(const char *name) {
  alarm(30);
  for (const auto &[question, ask] : questions()) {
    if (std::strcmp(question, name) != 0) continue;
    Asker asker;
    ask(asker);
    std::fflush(stdout);
    _exit(0);
  }
  return 2;
}

void run(const char *name) {
  std::printf("%s", name);
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    execl("/proc/self/exe", "facts", driver_path, kernels_path, name, static_cast<char *>(nullptr));
    _exit(2);
  }
  int status = 0;
  (void)waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) std::printf("  ended by signal %d", WTERMSIG(status));
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) std::printf("  status %d", WEXITSTATUS(status));
  std::printf("\n");
}

}  // namespace
}  // namespace probe

int main(int count, char **arguments) {
  using namespace probe;
  if (count < 3) return std::fprintf(stderr, "usage: facts DRIVER KERNELS [QUESTION]\n"), 2;
  driver_path = arguments[1];
  kernels_path = arguments[2];
  if (count > 3) return answer(arguments[3]);
  for (const auto &[name, ask] : questions()) run(name);
  return 0;
}
