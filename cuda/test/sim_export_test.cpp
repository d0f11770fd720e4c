/**
 * The simulator's exported memory: access, lifetime, capacity, and what an import refuses. Each SimDriver stands for
 * the driver of another process.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "descriptors.h"
#include "sim_driver.h"

using test::Descriptor;
using test::kSimGranule;
using test::open_descriptors;
using test::sim_create;
using test::sim_exportable_properties;
using test::SimDriver;
using test::SimMemory;

namespace {

constexpr CUmemAllocationHandleType kDescriptorType = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;

size_t free_bytes(const SimDriver &driver) {
  size_t free = 0, total = 0;
  REQUIRE_CU(driver.cuMemGetInfo_v2(&free, &total));
  return free;
}

SimMemory exportable(const SimDriver &driver, int device, size_t bytes) {
  return {driver, device, bytes, sim_create(driver, sim_exportable_properties(device), bytes)};
}

Descriptor export_memory(const SimDriver &driver, CUmemGenericAllocationHandle handle) {
  int descriptor = -1;
  REQUIRE_CU(driver.cuMemExportToShareableHandle(&descriptor, handle, kDescriptorType, 0));
  return Descriptor(descriptor);
}

CUresult import_memory(const SimDriver &driver, int descriptor, CUmemGenericAllocationHandle *out_handle) {
  void *const os_handle = reinterpret_cast<void *>(static_cast<intptr_t>(descriptor));
  return driver.cuMemImportFromShareableHandle(out_handle, os_handle, kDescriptorType);
}

SimMemory imported(const SimDriver &driver, int device, size_t bytes, const Descriptor &descriptor) {
  CUmemGenericAllocationHandle handle = 0;
  REQUIRE_CU(import_memory(driver, descriptor.get(), &handle));
  return {driver, device, bytes, handle};
}

std::string text_in(const SimMemory &memory) {
  char text[8] = {};
  REQUIRE_CU(memory.read(text, 7));
  return text;
}

/** A memfd with a chosen name and seals, as large as one granule. */
Descriptor memfd(const char *name, int seals) {
  Descriptor file(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  REQUIRE(file.get() >= 0 && ftruncate(file.get(), kSimGranule) == 0);
  REQUIRE(fcntl(file.get(), F_ADD_SEALS, seals) == 0);
  return file;
}

std::string link_of(const Descriptor &descriptor) {
  char path[256];
  const std::string link = "/proc/self/fd/" + std::to_string(descriptor.get());
  const ssize_t bytes = readlink(link.c_str(), path, sizeof(path));
  REQUIRE(bytes > 0);
  return {path, static_cast<size_t>(bytes)};
}

}  // namespace

TEST("sim: each process that imports memory chooses its own access, and sees the writes of the others") {
  const SimDriver owner{{"DEVICES", "8MiB"}}, reader{{"DEVICES", "8MiB"}}, writer{{"DEVICES", "8MiB"}};
  owner.start();
  const SimMemory memory = exportable(owner, 0, 2 * kSimGranule);
  REQUIRE_CU(memory.write("weights", 7));
  REQUIRE_CU(memory.set_access(0, CU_MEM_ACCESS_FLAGS_PROT_READ));
  const Descriptor descriptor = export_memory(owner, memory.handle());

  reader.start();
  const SimMemory read = imported(reader, 0, 2 * kSimGranule, descriptor);
  REQUIRE_CU(read.set_access(0, CU_MEM_ACCESS_FLAGS_PROT_READ));
  CHECK(text_in(read) == "weights");
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, read.write("damaged", 7));
  CHECK(text_in(read) == "weights");

  owner.use(0);
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, memory.write("damaged", 7));
  CHECK(text_in(memory) == "weights");

  writer.start();
  const SimMemory write = imported(writer, 0, 2 * kSimGranule, descriptor);
  REQUIRE_CU(write.write("Weights", 7));
  CHECK(text_in(memory) == "Weights");
  CHECK(text_in(read) == "Weights");
}

TEST("sim: exported memory outlives its owner, and a descriptor alone keeps it") {
  const SimDriver owner{{"DEVICES", "8MiB"}}, reader{{"DEVICES", "8MiB"}}, heir{{"DEVICES", "8MiB"}};
  for (const SimDriver *driver : {&owner, &reader, &heir}) driver->start();
  const size_t descriptors_before = open_descriptors();
  {
    auto memory = std::make_unique<SimMemory>(owner, 0, kSimGranule,
                                              sim_create(owner, sim_exportable_properties(0), kSimGranule));
    owner.use(0);
    REQUIRE_CU(memory->write("weights", 7));
    Descriptor descriptor = export_memory(owner, memory->handle());
    {
      reader.use(0);
      const SimMemory read = imported(reader, 0, kSimGranule, descriptor);
      memory.reset();
      CHECK(owner.live("cuMemCreate") == 0);
      CHECK(text_in(read) == "weights");
    }
    heir.use(0);
    const SimMemory kept = imported(heir, 0, kSimGranule, descriptor);
    descriptor.reset();
    CHECK(text_in(kept) == "weights");
  }
  CHECK(open_descriptors() == descriptors_before);
}

TEST("sim: a process is charged for exportable memory while it holds it, and once however often it imports it") {
  const SimDriver owner{{"DEVICES", "8MiB"}}, reader{{"DEVICES", "4MiB"}};
  owner.start();
  const size_t total = 4 * kSimGranule;
  const CUmemAllocationProp prop = sim_exportable_properties(0);
  CUmemGenericAllocationHandle handle = sim_create(owner, prop, 3 * kSimGranule), none = 0;
  CHECK(free_bytes(owner) == total - 3 * kSimGranule);
  CHECK_CU(CUDA_ERROR_OUT_OF_MEMORY, owner.cuMemCreate(&none, 2 * kSimGranule, &prop, 0));
  const CUmemAllocationProp plain = test::sim_properties(0);
  CHECK_CU(CUDA_ERROR_OUT_OF_MEMORY, owner.cuMemCreate(&none, 2 * kSimGranule, &plain, 0));
  const Descriptor descriptor = export_memory(owner, handle);
  CUmemGenericAllocationHandle again = 0;
  REQUIRE_CU(import_memory(owner, descriptor.get(), &again));
  CHECK(free_bytes(owner) == total - 3 * kSimGranule);
  REQUIRE_CU(owner.cuMemRelease(handle));
  CHECK(free_bytes(owner) == total - 3 * kSimGranule);
  REQUIRE_CU(owner.cuMemRelease(again));
  CHECK(free_bytes(owner) == total);

  // The memory exists already, so an import succeeds although it exceeds the size of this process's device.
  reader.start();
  REQUIRE_CU(import_memory(reader, descriptor.get(), &handle));
  CHECK(free_bytes(reader) == 0);
  CHECK_CU(CUDA_ERROR_OUT_OF_MEMORY, reader.cuMemCreate(&none, kSimGranule, &plain, 0));
  REQUIRE_CU(reader.cuMemRelease(handle));
  CHECK(free_bytes(reader) == 2 * kSimGranule);
}

TEST("sim: only memory that was created for export can be exported") {
  const SimDriver driver{{"DEVICES", "8MiB"}};
  driver.start();
  const CUmemAllocationProp plain = test::sim_properties(0);
  CUmemAllocationProp other = sim_exportable_properties(0), reported = {};
  other.requestedHandleTypes = static_cast<CUmemAllocationHandleType>(2);
  CUmemGenericAllocationHandle none = 0;
  CHECK_CU(CUDA_ERROR_NOT_SUPPORTED, driver.cuMemCreate(&none, kSimGranule, &other, 0));
  const CUmemGenericAllocationHandle handle = sim_create(driver, plain, kSimGranule);
  const CUmemGenericAllocationHandle shared = sim_create(driver, sim_exportable_properties(0), kSimGranule);

  int out = -1;
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemExportToShareableHandle(&out, handle, kDescriptorType, 0));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemExportToShareableHandle(&out, shared, kDescriptorType, 1));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemExportToShareableHandle(&out, shared, CU_MEM_HANDLE_TYPE_NONE, 0));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemExportToShareableHandle(&out, 1, kDescriptorType, 0));
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemExportToShareableHandle(nullptr, shared, kDescriptorType, 0));
  CHECK(out == -1);
  REQUIRE_CU(driver.cuMemGetAllocationPropertiesFromHandle(&reported, shared));
  CHECK(reported.requestedHandleTypes == kDescriptorType);
  REQUIRE_CU(driver.cuMemGetAllocationPropertiesFromHandle(&reported, handle));
  CHECK(reported.requestedHandleTypes == CU_MEM_HANDLE_TYPE_NONE);
  REQUIRE_CU(driver.cuMemRelease(handle));
  REQUIRE_CU(driver.cuMemRelease(shared));
}

TEST("sim: a device without support of export refuses exportable memory") {
  const SimDriver driver{{"DEVICES", "8MiB"}};
  driver.start();
  int supported = -1;
  const CUdevice_attribute attribute = CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED;
  REQUIRE_CU(driver.cuDeviceGetAttribute(&supported, attribute, 0));
  CHECK(supported == 1);
  REQUIRE(driver.set("SPOOFS", "export=0") == 0);
  REQUIRE_CU(driver.cuDeviceGetAttribute(&supported, attribute, 0));
  CHECK(supported == 0);
  const CUmemAllocationProp prop = sim_exportable_properties(0);
  CUmemGenericAllocationHandle none = 0;
  CHECK_CU(CUDA_ERROR_NOT_SUPPORTED, driver.cuMemCreate(&none, kSimGranule, &prop, 0));
}

TEST("sim: a descriptor is named after the device's UUID, and its holder cannot change its size") {
  const SimDriver driver{{"DEVICES", "8MiB,8MiB"}};
  driver.start();
  const SimMemory memory = exportable(driver, 1, kSimGranule);
  const Descriptor descriptor = export_memory(driver, memory.handle());
  CHECK(link_of(descriptor) == "/memfd:cuda_sim:GPU-73696d75-6c61-7465-642d-677075000001 (deleted)");
  CHECK((fcntl(descriptor.get(), F_GETFD) & FD_CLOEXEC) != 0);
  for (const off_t bytes : {off_t{0}, off_t{2 * kSimGranule}}) {
    CHECK(ftruncate(descriptor.get(), bytes) == -1 && errno == EPERM);
  }
  CHECK(fcntl(descriptor.get(), F_ADD_SEALS, F_SEAL_WRITE) == -1 && errno == EPERM);
}

TEST("sim: an import refuses descriptors that are not exported memory, or that their holder could truncate") {
  constexpr char kName[] = "cuda_sim:GPU-73696d75-6c61-7465-642d-677075000000";
  constexpr int kAllSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
  const SimDriver driver{{"DEVICES", "8MiB"}}, two_devices{{"DEVICES", "8MiB,8MiB"}};
  driver.start();
  const size_t descriptors_before = open_descriptors();
  CUmemGenericAllocationHandle handle = 0;
  {
    const Descriptor exact = memfd(kName, kAllSeals);
    CHECK_CU(CUDA_SUCCESS, import_memory(driver, exact.get(), &handle));
    CHECK_CU(CUDA_SUCCESS, driver.cuMemRelease(handle));
    for (const int seals : {0, F_SEAL_SHRINK | F_SEAL_GROW, F_SEAL_SHRINK | F_SEAL_SEAL, F_SEAL_GROW | F_SEAL_SEAL}) {
      CHECK_CU(CUDA_ERROR_INVALID_VALUE, import_memory(driver, memfd(kName, seals).get(), &handle));
    }
    const char *const names[] = {"", "cuda_sim:", "GPU-73696d75-6c61-7465-642d-677075000000", "gpu0-1.vram"};
    for (const char *name : names) {
      CHECK_CU(CUDA_ERROR_INVALID_VALUE, import_memory(driver, memfd(name, kAllSeals).get(), &handle));
    }
    const Descriptor odd(memfd_create(kName, MFD_CLOEXEC | MFD_ALLOW_SEALING));
    REQUIRE(ftruncate(odd.get(), kSimGranule + 4096) == 0 && fcntl(odd.get(), F_ADD_SEALS, kAllSeals) == 0);
    CHECK_CU(CUDA_ERROR_INVALID_VALUE, import_memory(driver, odd.get(), &handle));
    const Descriptor null(open("/dev/null", O_RDWR | O_CLOEXEC)), program(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    CHECK_CU(CUDA_ERROR_INVALID_VALUE, import_memory(driver, null.get(), &handle));
    CHECK_CU(CUDA_ERROR_INVALID_VALUE, import_memory(driver, program.get(), &handle));
    for (const int none : {-1, 1 << 20}) CHECK_CU(CUDA_ERROR_INVALID_VALUE, import_memory(driver, none, &handle));
    CHECK_CU(CUDA_ERROR_INVALID_VALUE,
             driver.cuMemImportFromShareableHandle(&handle, nullptr, CU_MEM_HANDLE_TYPE_NONE));
    CHECK_CU(CUDA_ERROR_INVALID_VALUE, import_memory(driver, exact.get(), nullptr));
  }
  CHECK(open_descriptors() == descriptors_before);

  two_devices.start();
  const SimMemory memory = exportable(two_devices, 1, kSimGranule);
  const Descriptor descriptor = export_memory(two_devices, memory.handle());
  CHECK_CU(CUDA_ERROR_NOT_SUPPORTED, import_memory(driver, descriptor.get(), &handle));
}

TEST("sim: memory belongs to the device with its UUID, whatever ordinals the processes give it") {
  const SimDriver owner{{"DEVICES", "8MiB,8MiB,8MiB"}},
      other{{"DEVICES", "8MiB,8MiB,8MiB"}, {"VISIBLE_DEVICES", "2,1"}};
  owner.start(1);
  const SimMemory memory = exportable(owner, 1, kSimGranule), hidden = exportable(owner, 0, kSimGranule);
  REQUIRE_CU(memory.write("weights", 7));
  const Descriptor descriptor = export_memory(owner, memory.handle()), none = export_memory(owner, hidden.handle());
  other.start(1);
  CUuuid ours = {}, theirs = {};
  REQUIRE_CU(owner.cuDeviceGetUuid_v2(&ours, 1));
  REQUIRE_CU(other.cuDeviceGetUuid_v2(&theirs, 1));
  CHECK(std::memcmp(ours.bytes, theirs.bytes, sizeof(ours.bytes)) == 0);
  REQUIRE_CU(other.cuDeviceGetUuid_v2(&theirs, 0));
  CHECK(theirs.bytes[15] == 2);
  const SimMemory read = imported(other, 1, kSimGranule, descriptor);
  CHECK(text_in(read) == "weights");
  CUmemAllocationProp prop = {};
  REQUIRE_CU(other.cuMemGetAllocationPropertiesFromHandle(&prop, read.handle()));
  CHECK(prop.location.id == 1);
  CUmemGenericAllocationHandle handle = 0;
  CHECK_CU(CUDA_ERROR_NOT_SUPPORTED, import_memory(other, none.get(), &handle));
  int count = 0;
  REQUIRE_CU(other.cuDeviceGetCount(&count));
  CHECK(count == 2);
}

TEST("sim: an export without a free descriptor fails and changes nothing") {
  const SimDriver driver{{"DEVICES", "8MiB"}};
  driver.start();
  const SimMemory memory = exportable(driver, 0, kSimGranule);
  rlimit before = {};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit low = {3, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
  int out = -1;
  const CUresult result = driver.cuMemExportToShareableHandle(&out, memory.handle(), kDescriptorType, 0);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK_CU(CUDA_ERROR_OPERATING_SYSTEM, result);
  CHECK(out == -1);
}

TEST("sim: with a directory, exportable memory is a file until it is freed, and survives the next start in readers") {
  char directory[] = "/tmp/cuda_sim-test-XXXXXX";
  REQUIRE(mkdtemp(directory) != nullptr);
  const std::string path = std::string(directory) + "/gpu0-0.vram";
  const std::string left = std::string(directory) + "/gpu0-7.vram", other = std::string(directory) + "/gpu1-7.vram";
  for (const std::string &file : {left, other}) Descriptor(open(file.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  const SimDriver owner{{"DEVICES", "8MiB"}, {"DIR", directory}}, reader{{"DEVICES", "8MiB"}};
  owner.start();
  CHECK(access(left.c_str(), F_OK) == -1 && access(other.c_str(), F_OK) == 0);
  {
    const SimMemory memory = exportable(owner, 0, kSimGranule);
    struct stat status = {};
    REQUIRE(stat(path.c_str(), &status) == 0);
    CHECK(status.st_size == static_cast<off_t>(kSimGranule) && (status.st_mode & 0777) == 0600);
    REQUIRE_CU(memory.write("weights", 7));
    const Descriptor descriptor = export_memory(owner, memory.handle());
    reader.start();
    const SimMemory read = imported(reader, 0, kSimGranule, descriptor);
    const Descriptor file(open(path.c_str(), O_RDWR | O_CLOEXEC));
    CHECK(pwrite(file.get(), "W", 1, 0) == 1);
    CHECK(text_in(read) == "Weights");

    // Without seals the file can be truncated. That must be an error, not SIGBUS.
    REQUIRE(unlink(path.c_str()) == 0);
    CHECK(text_in(read) == "Weights");
    REQUIRE(ftruncate(file.get(), 0) == 0);
    char text[8] = {};
    CHECK_CU(CUDA_ERROR_ILLEGAL_ADDRESS, read.read(text, 7));
  }
  owner.use(0);
  {
    const SimMemory memory = exportable(owner, 0, kSimGranule);
    CHECK(access((std::string(directory) + "/gpu0-1.vram").c_str(), F_OK) == 0);
  }
  CHECK(access((std::string(directory) + "/gpu0-1.vram").c_str(), F_OK) == -1);
  for (const char *name : {"/gpu0-memory.vram", "/gpu1-7.vram"}) unlink((std::string(directory) + name).c_str());
  CHECK(rmdir(directory) == 0);
}
