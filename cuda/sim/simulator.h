/** The simulated driver's whole state. */
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
#include "registry.h"
#include "spoofs.h"
#include "stream.h"

namespace cuda_sim {

/** A loaded module, of one device's context. */
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
  HostMemory host_memory;

  /** Reads the environment and makes the devices, once; CUDA_ERROR_INVALID_VALUE, and a line on stderr, for a bad
   * setting. */
  CUresult initialise();
  bool is_initialised() const { return initialised_.load(); }

  /** What cuSimSet does: 0, or 1 for an unknown setting or a bad value. */
  int set(const std::string &setting, const std::string &value);
  /** What cuSimReset does. */
  void reset();
  /** What cuSimLive does. */
  uint64_t live(const std::string &creator) const;

  /** These are there once it is initialised. */
  const std::vector<std::unique_ptr<Device>> &devices() const { return devices_; }
  AddressSpace &address_space() const { return *address_space_; }
  Engine engine() const { return engine_; }

  /** Null for an ordinal that no device has. */
  Device *device(int ordinal) const;

 private:
  bool apply(const std::string &setting, const std::string &value);
  bool read_environment(std::string *out_error);

  std::mutex mutex_; /* held while settings change */
  bool is_set_[3] = {};
  std::atomic<bool> initialised_{false};
  Engine engine_ = Engine::kFast;
  std::vector<std::unique_ptr<Device>> devices_;
  std::unique_ptr<AddressSpace> address_space_;
};

/** The process's one driver; it is never destroyed, as threads may use it until the very end. */
Simulator &simulator();

}  // namespace cuda_sim
