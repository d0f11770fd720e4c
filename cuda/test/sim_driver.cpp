#include "sim_driver.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>

namespace test {
namespace {

std::string read_next_to_program(const std::string &name) {
  char path[4096];
  const ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  REQUIRE(length > 0);
  const std::string program(path, static_cast<size_t>(length));
  std::ifstream file(program.substr(0, program.rfind('/') + 1) + name, std::ios::binary);
  REQUIRE(file.good());
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/** dlopen() loads a file at another path as another library, with its own state. */
void *load_copy(const std::string &bytes) {
  char path[] = "/tmp/libcuda_sim-XXXXXX";
  const int file = mkstemp(path);
  REQUIRE(file >= 0);
  const bool written = write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size());
  close(file);
  void *library = written ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
  unlink(path);
  return library;
}

template <typename Function>
void find(void *library, const char *name, Function *&out_function) {
  out_function = reinterpret_cast<Function *>(dlsym(library, name));
  REQUIRE(out_function != nullptr);
}

}  // namespace

bool check_result(const char *file, int line, CUresult expected, CUresult actual, const char *what) {
  if (expected == actual) return true;
  fail(file, line, std::string(what) + ": expected " + std::to_string(expected) + ", got " + std::to_string(actual));
  return false;
}

SimDriver::SimDriver(std::initializer_list<SimSetting> environment) : environment_(environment) {
  void *library = load_copy(read_next_to_program("libcuda_sim.so"));
  REQUIRE(library != nullptr);
#define FIND(name, parameters) find(library, #name, name);
  VRAM_CUDA_FUNCTIONS(FIND)
#undef FIND
  find(library, "cuSimSet", set);
  find(library, "cuSimCalls", calls);
  find(library, "cuSimReset", reset);
  find(library, "cuSimLive", live);
}

CUresult SimDriver::init() const {
  std::map<std::string, std::string> before;
  for (const auto &[name, value] : environment_) {
    const std::string variable = std::string("CUDA_SIM_") + name;
    if (const char *old = std::getenv(variable.c_str())) before[variable] = old;
    setenv(variable.c_str(), value.c_str(), 1);
  }
  const CUresult result = cuInit(0);
  for (const auto &[name, value] : environment_) unsetenv((std::string("CUDA_SIM_") + name).c_str());
  for (const auto &[variable, value] : before) setenv(variable.c_str(), value.c_str(), 1);
  return result;
}

void SimDriver::start(int device) const {
  REQUIRE_CU(init());
  use(device);
}

void SimDriver::use(int device) const {
  CUcontext context = nullptr;
  REQUIRE_CU(cuDevicePrimaryCtxRetain(&context, device));
  REQUIRE_CU(cuCtxSetCurrent(context));
}

CUmemAllocationProp sim_properties(int device) {
  CUmemAllocationProp prop = {};
  prop.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  prop.location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
  return prop;
}

CUmemAllocationProp sim_exportable_properties(int device) {
  CUmemAllocationProp prop = sim_properties(device);
  prop.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  return prop;
}

CUmemGenericAllocationHandle sim_create(const SimDriver &driver, const CUmemAllocationProp &prop, size_t bytes) {
  CUmemGenericAllocationHandle handle = 0;
  REQUIRE_CU(driver.cuMemCreate(&handle, bytes, &prop, 0));
  return handle;
}

SimMemory::SimMemory(const SimDriver &driver, int device, size_t bytes)
    : SimMemory(driver, device, bytes, sim_create(driver, sim_properties(device), bytes)) {}

SimMemory::SimMemory(const SimDriver &driver, int device, size_t bytes, CUmemGenericAllocationHandle handle)
    : driver_(driver), bytes_(bytes), handle_(handle) {
  REQUIRE_CU(driver_.cuMemAddressReserve(&address_, bytes_, 0, 0, 0));
  REQUIRE_CU(driver_.cuMemMap(address_, bytes_, 0, handle_, 0));
  REQUIRE_CU(set_access(device, CU_MEM_ACCESS_FLAGS_PROT_READWRITE));
}

SimMemory::~SimMemory() {
  driver_.reset();
  CHECK_CU(CUDA_SUCCESS, driver_.cuMemUnmap(address_, bytes_));
  CHECK_CU(CUDA_SUCCESS, driver_.cuMemAddressFree(address_, bytes_));
  CHECK_CU(CUDA_SUCCESS, driver_.cuMemRelease(handle_));
}

CUresult SimMemory::set_access(int device, CUmemAccess_flags access) const {
  const CUmemAccessDesc desc = {{CU_MEM_LOCATION_TYPE_DEVICE, device}, access};
  return driver_.cuMemSetAccess(address_, bytes_, &desc, 1);
}

CUresult SimMemory::write(const void *source, size_t bytes) const {
  const CUresult copied = driver_.cuMemcpyHtoDAsync_v2(address_, source, bytes, nullptr);
  return copied != CUDA_SUCCESS ? copied : driver_.cuStreamSynchronize(nullptr);
}

CUresult SimMemory::read(void *destination, size_t bytes) const {
  const CUresult copied = driver_.cuMemcpyDtoHAsync_v2(destination, address_, bytes, nullptr);
  return copied != CUDA_SUCCESS ? copied : driver_.cuStreamSynchronize(nullptr);
}

std::string sim_kernels() {
  return read_next_to_program("vram_kernels.sim");
}

}  // namespace test
