/**
 * A simulated driver for one test: a fresh copy of the library with its own environment, separate from the one that
 * libvram has loaded. Tests call its functions as a client of the driver API does.
 */
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "../include/cuda_driver.h"
#include "harness.h"
#include "simulator.h"

namespace test {

/** Records a failure if the results differ. Returns whether they are equal. */
bool check_result(const char *file, int line, CUresult expected, CUresult actual, const char *what);

/** An environment variable, without the prefix CUDA_SIM_. */
struct SimSetting {
  const char *name;
  std::string value;
};

class SimDriver : public DriverFunctions {
 public:
  /** Loads a copy without initializing it. */
  SimDriver(std::initializer_list<SimSetting> environment);

  /** Calls cuInit() with the environment. */
  CUresult init() const;
  /** Initializes, retains a device's primary context and makes it current. Ends the test if it fails. */
  void start(int device = 0) const;
  void use(int device) const;

  int (*set)(const char *setting, const char *value) = nullptr;
  uint64_t (*calls)(const char *function) = nullptr;
  void (*reset)() = nullptr;
  uint64_t (*live)(const char *creator) = nullptr;

 private:
  std::vector<SimSetting> environment_;
};

/** Device memory, mapped readable and writable for its device. The destructor releases it. */
class SimMemory {
 public:
  SimMemory(const SimDriver &driver, int device, size_t bytes);
  /** Maps an existing allocation, and takes its handle. */
  SimMemory(const SimDriver &driver, int device, size_t bytes, CUmemGenericAllocationHandle handle);
  ~SimMemory();
  SimMemory(const SimMemory &) = delete;
  SimMemory &operator=(const SimMemory &) = delete;

  CUmemGenericAllocationHandle handle() const { return handle_; }
  CUdeviceptr address() const { return address_; }
  size_t bytes() const { return bytes_; }
  CUresult set_access(int device, CUmemAccess_flags access) const;
  CUresult write(const void *source, size_t bytes) const;
  CUresult read(void *destination, size_t bytes) const;

 private:
  const SimDriver &driver_;
  const size_t bytes_;
  const CUmemGenericAllocationHandle handle_;
  CUdeviceptr address_ = 0;
};

/** Properties for cuMemCreate() on a device. */
CUmemAllocationProp sim_properties(int device);
CUmemAllocationProp sim_exportable_properties(int device);

/** Creates an allocation. Ends the test if it fails. */
CUmemGenericAllocationHandle sim_create(const SimDriver &driver, const CUmemAllocationProp &prop, size_t bytes);

/** The module image with the kernels for the simulator. */
std::string sim_kernels();

constexpr size_t kSimGranule = size_t{2} << 20;

}  // namespace test

#define CHECK_CU(expected, ...) (void)test::check_result(__FILE__, __LINE__, expected, __VA_ARGS__, #__VA_ARGS__)

/** Ends the test unless the call succeeds. */
#define REQUIRE_CU(...)                                                                                        \
  do {                                                                                                         \
    if (!test::check_result(__FILE__, __LINE__, CUDA_SUCCESS, __VA_ARGS__, #__VA_ARGS__)) throw test::Ended{}; \
  } while (false)
