#include "questions.h"

namespace probe {
namespace {

constexpr CUmemAccess_flags kRead = CU_MEM_ACCESS_FLAGS_PROT_READ;
constexpr CUmemAccess_flags kReadWrite = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;

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
  a.map_each(address, 2, kGranule);
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

}  // namespace

Questions stream_questions() {
  return {
      {"copies", ask_copies},
      {"copies-across", ask_copies_across},
      {"launch", ask_launch},
      {"launch-outside", ask_launch_outside},
      {"modules", ask_modules},
      {"events", ask_events},
      {"pinned", ask_pinned},
  };
}

}  // namespace probe
