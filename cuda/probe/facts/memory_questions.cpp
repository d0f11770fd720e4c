#include "questions.h"

namespace probe {
namespace {

constexpr CUmemAccess_flags kNone = CU_MEM_ACCESS_FLAGS_PROT_NONE;
constexpr CUmemAccess_flags kRead = CU_MEM_ACCESS_FLAGS_PROT_READ;
constexpr CUmemAccess_flags kReadWrite = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;

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
  a.map_each(address, 4, 2 * kGranule);
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
  a.map_each(address, 3, 2 * kGranule);
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

void ask_attributes(Asker &a) {
  const Memory memory = create(a.driver, kGranule, false);
  a.say_attributes("device", memory.address);
  a.say_attributes("last-byte", memory.address + kGranule - 1);
  require("seal", set_access(a.driver, memory.address, kGranule, kRead));
  a.say_attributes("sealed", memory.address);
  require("none", set_access(a.driver, memory.address, kGranule, kNone));
  a.say_attributes("no-access", memory.address);
  a.say_attributes("reserved", a.reserve(kGranule));
  a.say_attributes("pinned", reinterpret_cast<CUdeviceptr>(a.pinned));
  std::vector<char> pageable(100);
  a.say_attributes("pageable", reinterpret_cast<CUdeviceptr>(pageable.data()));
  a.say_attributes("null", 0);
}

}  // namespace

Questions memory_questions() {
  return {
      {"granularity", ask_granularity}, {"create", ask_create}, {"reserve", ask_reserve},
      {"map", ask_map},                 {"unmap", ask_unmap},   {"access", ask_access},
      {"release", ask_release},         {"retain", ask_retain}, {"attributes", ask_attributes},
  };
}

}  // namespace probe
