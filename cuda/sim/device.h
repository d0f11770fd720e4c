/** A simulated GPU and its primary context. */
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "physical_memory.h"

namespace cuda_sim {

class Stream;
struct Device;

/** A device's one context. It lives as long as the device; whether it may be used hangs on its references. */
class PrimaryContext {
 public:
  void retain();
  /** False where nobody holds it. */
  bool release();
  bool is_retained() const { return references_.load() != 0; }
  uint64_t references() const { return references_.load(); }

  /** The error that the context died of; CUDA_SUCCESS while it is well. */
  CUresult sticky_error() const { return sticky_error_.load(); }
  /** Lets the context die of an error, where it is not dead yet. */
  void die(CUresult error);
  void revive() { sticky_error_ = CUDA_SUCCESS; }

  /** The stream that a null handle names. */
  std::shared_ptr<Stream> default_stream(Device &device);

 private:
  std::atomic<uint64_t> references_{0};
  std::atomic<CUresult> sticky_error_{CUDA_SUCCESS};
  std::mutex mutex_;
  std::shared_ptr<Stream> default_stream_;
};

struct Device {
  int ordinal;
  std::unique_ptr<PhysicalMemory> memory;
  PrimaryContext context;
};

/** "Simulated GPU", the same for all. */
extern const std::string_view kDeviceName;

/** The same for an ordinal in every process. */
CUuuid device_uuid(int ordinal);

/**
 * Makes the devices that a list of sizes names ("24GiB,24GiB"), their memory in files of a directory where one is
 * named. False, and a line in out_error, for a bad list or where the memory can't be made; then there are none.
 */
bool make_devices(std::string_view sizes, const std::string &directory,
                  std::vector<std::unique_ptr<Device>> *out_devices, std::string *out_error);

}  // namespace cuda_sim
