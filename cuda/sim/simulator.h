/** The state of the simulated driver. */
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "address_space.h"
#include "faults.h"
#include "host_memory.h"
#include "kernel_image.h"
#include "latency.h"
#include "pending_access.h"
#include "registry.h"
#include "spoofs.h"
#include "stream.h"

namespace cuda_sim {

/** A module loaded in the context of a device. */
struct LoadedModule {
  Device &device;
  std::unique_ptr<KernelImage> image;
};

/** A kernel of a loaded module. */
struct LoadedKernel {
  std::shared_ptr<LoadedModule> module;
  const Kernel *kernel;
};

enum class Engine { kFast, kSource };

class Simulator {
 public:
  Faults faults;
  Spoofs spoofs;
  Latency latency;

  Registry<Stream> streams;
  Registry<Event> events;
  Registry<LoadedModule> modules;
  Registry<LoadedKernel> kernels;
  AllocationHandles allocations;
  SharedAllocations shared_allocations;
  HostMemory host_memory;
  PendingAccesses pending_accesses;

  /**
   * Reads the environment and creates the devices, once. If a setting is invalid, logs the reason to stderr and returns
   * CUDA_ERROR_INVALID_VALUE.
   */
  CUresult initialize();
  bool is_initialized() const { return initialized_.load(); }

  /** These implement cuSimSet, cuSimReset and cuSimLive; see control.h. */
  int set(const std::string &setting, const std::string &value);

  void reset();

  uint64_t live(const std::string &creator) const;

  /** Valid after initialize(). */
  const std::vector<std::unique_ptr<Device>> &devices() const { return devices_; }
  AddressSpace &address_space() const { return *address_space_; }
  Engine engine() const { return engine_; }

  /** Null if no device has the ordinal. */
  Device *device(int ordinal) const;

 private:
  bool apply(const std::string &setting, const std::string &value);
  bool read_environment(std::string *out_error);

  std::mutex mutex_; /* held while settings change */
  bool is_set_[3] = {};
  std::atomic<bool> initialized_{false};
  Engine engine_ = Engine::kFast;
  std::vector<std::unique_ptr<Device>> devices_;
  std::unique_ptr<AddressSpace> address_space_;
};

/** The simulator of this process. It is never destroyed, because threads may use it until the process exits. */
Simulator &simulator();

}  // namespace cuda_sim
