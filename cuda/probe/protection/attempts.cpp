#include "attempts.h"

#include <unistd.h>

#include <cstring>

#include "writes.h"

namespace probe {
namespace {

constexpr CUmemAccess_flags kNone = CU_MEM_ACCESS_FLAGS_PROT_NONE;
constexpr CUmemAccess_flags kRead = CU_MEM_ACCESS_FLAGS_PROT_READ;
constexpr CUmemAccess_flags kReadWrite = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;

using Attempts = std::vector<Attempt>;

void attempt_write(const Child &child, const Write &write, CUdeviceptr address) {
  const CUresult called = write.start(child, address);
  child.print("call", called);
  child.print("wait", child.wait());
  size_t free_bytes = 0, total_bytes = 0;
  child.print("later", child.driver.cuMemGetInfo_v2(&free_bytes, &total_bytes));
}

void attempt_read(const Child &child, CUdeviceptr address) {
  unsigned char bytes[64] = {};
  const CUresult copied = child.driver.cuMemcpyDtoHAsync_v2(child.pinned, address, sizeof(bytes), child.stream);
  child.print("DtoH", copied);
  child.print("wait", child.wait());
  std::memcpy(bytes, child.pinned, sizeof(bytes));
  std::printf("  byte=%02x", bytes[0]);
  child.print("kernel-load", child.launch("probe_load", address, child.other));
  child.print("wait", child.wait());
}

void add_writes(Attempts &all) {
  for (const Write &write : writes()) {
    const auto start = [write](Child &c) { attempt_write(c, write, c.memory.address); };
    all.push_back({"writable/" + std::string(write.name), start});
    all.push_back({"sealed/" + std::string(write.name), [start](Child &c) {
                     c.print("seal", c.access(kRead));
                     start(c);
                   }});
  }
}

void add_writes_to_parts(Attempts &all, const Write &write) {
  const std::string name = write.name;
  all.push_back({"writable-again/" + name, [write](Child &c) {
                   c.print("seal", c.access(kRead));
                   c.print("unseal", c.access(kReadWrite));
                   attempt_write(c, write, c.memory.address);
                 }});
  all.push_back({"first-half-sealed/first/" + name, [write](Child &c) {
                   c.print("seal", c.access(0, kGranule, kRead));
                   c.print_access("first", c.memory.address + kGranule - 1);
                   c.print_access("second", c.memory.address + kGranule);
                   attempt_write(c, write, c.memory.address);
                 }});
  all.push_back({"first-half-sealed/second/" + name, [write](Child &c) {
                   c.print("seal", c.access(0, kGranule, kRead));
                   attempt_write(c, write, c.memory.address + kGranule);
                 }});
  all.push_back({"alias/" + name, [write](Child &c) {
                   c.print("seal", c.access(kRead));
                   const Memory alias = map(c.driver, c.memory.handle, kBytes);
                   c.print_access("alias", alias.address);
                   c.print("alias-writable", set_access(c.driver, alias.address, kBytes, kReadWrite));
                   c.print_access("alias", alias.address);
                   c.print_access("sealed", c.memory.address);
                   attempt_write(c, write, alias.address);
                 }});
}

void add_reads(Attempts &all) {
  all.push_back({"sealed/reads", [](Child &c) {
                   c.print("seal", c.access(kRead));
                   c.print_access("sealed", c.memory.address);
                   attempt_read(c, c.memory.address);
                 }});
  all.push_back({"no-access/DtoH", [](Child &c) {
                   c.print("none", c.access(kNone));
                   c.print_access("none", c.memory.address);
                   attempt_read(c, c.memory.address);
                 }});
}

void add_ranges(Attempts &all) {
  all.push_back({"sealed/unaligned-range", [](Child &c) {
                   c.print("4KiB", c.access(0, 4096, kRead));
                   c.print("offset-4KiB", c.access(4096, kGranule - 4096, kRead));
                   c.print("64KiB", c.access(0, 65536, kRead));
                   c.print("beyond", c.access(kGranule, kBytes, kRead));
                   c.print_access("after", c.memory.address);
                   c.print_access("unmapped", c.memory.address + kBytes);
                   c.print("seal-twice", c.access(kRead));
                   c.print("seal-twice", c.access(kRead));
                 }});
}

void add_running_kernels(Attempts &all) {
  all.push_back({"sealed/while-a-kernel-writes", [](Child &c) {
                   c.print("launch", c.launch("probe_store_slowly", c.memory.address, 200000));
                   c.print("seal", c.access(kRead));
                   c.print("wait", c.wait());
                 }});
  all.push_back({"sealed/unmap-while-a-kernel-writes", [](Child &c) {
                   c.print("launch", c.launch("probe_store_slowly", c.memory.address, 200000));
                   c.print("unmap", c.driver.cuMemUnmap(c.memory.address, kBytes));
                   c.print("wait", c.wait());
                 }});
}

void wait_for_parent() {
  char byte = 0;
  std::fflush(stdout);
  (void)!write(STDIN_FILENO, "x", 1);
  (void)!read(STDIN_FILENO, &byte, 1);
}

void add_importers(Attempts &all) {
  all.push_back({kImporterWrites, [](Child &c) {
                   c.print("exporter-seal", c.access(kRead));
                   wait_for_parent();  // the parent maps the memory writable and writes
                   c.print_access("exporter", c.memory.address);
                   attempt_read(c, c.memory.address);
                 }});
  all.push_back({"importer/after-exporter-wipes", [](Child &c) {
                   c.print("exporter-wipe", c.driver.cuMemsetD8Async(c.memory.address, 0, kBytes, c.stream));
                   c.print("wait", c.wait());
                   c.print("unmap", c.driver.cuMemUnmap(c.memory.address, kBytes));
                   c.print("release", c.driver.cuMemRelease(c.memory.handle));
                 }});
}

}  // namespace

std::vector<Attempt> attempts() {
  Attempts all;
  add_writes(all);
  for (const char *name : {"kernel-store", "cuMemcpyHtoDAsync", "cuMemsetD8Async"}) {
    for (const Write &write : writes()) {
      if (std::strcmp(write.name, name) == 0) add_writes_to_parts(all, write);
    }
  }
  add_reads(all);
  add_ranges(all);
  add_running_kernels(all);
  add_importers(all);
  return all;
}

}  // namespace probe
