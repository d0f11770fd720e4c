/**
 * A simulated driver of a test's own: a fresh copy of the library, with an environment of its own, apart from the one
 * that libvram has loaded. Its functions are called as a client of the driver API calls them.
 */
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "../include/cuda_driver.h"
#include "harness.h"
#include "simulator.h"

namespace test {

/** Notes a failure unless two results are equal; says whether they are. */
bool check_result(const char *file, int line, CUresult expected, CUresult actual, const char *what);

/** A setting of the environment, without the prefix CUDA_SIM_. */
struct SimSetting {
  const char *name;
  std::string value;
};

class SimDriver : public DriverFunctions {
 public:
  /** Loads a copy; nothing is initialised. */
  SimDriver(std::initializer_list<SimSetting> environment);

  /** cuInit, under the environment. */
  CUresult init() const;
  /** Initialises, retains a device's primary context, makes it current. Ends the test when it fails. */
  void start(int device = 0) const;
  void use(int device) const;

  int (*set)(const char *setting, const char *value) = nullptr;
  uint64_t (*calls)(const char *function) = nullptr;
  void (*reset)() = nullptr;
  uint64_t (*live)(const char *creator) = nullptr;

 private:
  std::vector<SimSetting> environment_;
};

/** Device memory, mapped readable and writable for its device; given back at the end. */
class SimMemory {
 public:
  SimMemory(const SimDriver &driver, int device, size_t bytes);
  ~SimMemory();
  SimMemory(const SimMemory &) = delete;
  SimMemory &operator=(const SimMemory &) = delete;

  CUdeviceptr address() const { return address_; }
  size_t bytes() const { return bytes_; }
  CUresult set_access(int device, CUmemAccess_flags access) const;
  CUresult write(const void *source, size_t bytes) const;
  CUresult read(void *destination, size_t bytes) const;

 private:
  const SimDriver &driver_;
  const size_t bytes_;
  CUmemGenericAllocationHandle handle_ = 0;
  CUdeviceptr address_ = 0;
};

/** What cuMemCreate wants for memory of a device. */
CUmemAllocationProp sim_properties(int device);

/** The kernels for the simulator, as bytes. */
std::string sim_kernels();

constexpr size_t kSimGranule = size_t{2} << 20;

}  // namespace test

#define CHECK_CU(expected, ...) (void)test::check_result(__FILE__, __LINE__, expected, __VA_ARGS__, #__VA_ARGS__)

/** Ends the test unless the call succeeds. */
#define REQUIRE_CU(...)                                                                                        \
  do {                                                                                                         \
    if (!test::check_result(__FILE__, __LINE__, CUDA_SUCCESS, __VA_ARGS__, #__VA_ARGS__)) throw test::Ended{}; \
  } while (false)
