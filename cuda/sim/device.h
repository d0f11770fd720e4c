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

/** The primary context of a device. It exists as long as the device. It is usable while it is retained. */
class PrimaryContext {
 public:
  void retain();
  /** False if the context is not retained. */
  bool release();
  bool is_retained() const { return references_.load() != 0; }
  uint64_t references() const { return references_.load(); }

  /** Whether a thread that waits for a stream sleeps. By default it uses a core. */
  bool is_blocking() const { return blocking_.load(); }
  void set_blocking(bool blocking) { blocking_ = blocking; }

  /** The sticky error, or CUDA_SUCCESS. */
  CUresult sticky_error() const { return sticky_error_.load(); }
  /** Sets the sticky error, unless the context already has one. */
  void set_sticky_error(CUresult error);
  void clear_sticky_error() { sticky_error_ = CUDA_SUCCESS; }

  /** The stream that a null handle means. */
  std::shared_ptr<Stream> default_stream(Device &device);

 private:
  std::atomic<uint64_t> references_{0};
  std::atomic<bool> blocking_{false};
  std::atomic<CUresult> sticky_error_{CUDA_SUCCESS};
  std::mutex mutex_;
  std::shared_ptr<Stream> default_stream_;
};

struct Device {
  int ordinal; /* in this process */
  int index;   /* in CUDA_SIM_DEVICES */
  std::unique_ptr<PhysicalMemory> memory;
  PrimaryContext context;
};

/** The name of every simulated device. */
extern const std::string_view kDeviceName;

/** Depends only on the device's index, so it is the same in every process. */
CUuuid device_uuid(int index);
/** As nvidia-smi writes it: "GPU-" and 32 hexadecimal digits in five groups. */
std::string device_uuid_text(int index);

/** A simulator refuses more devices. */
constexpr size_t kMaxDevices = 64;

struct DeviceSettings {
  std::string sizes;     /* of each device of the host, such as "24GiB,24GiB" */
  std::string visible;   /* indexes of the devices to create, in the order of their ordinals; empty: all */
  std::string directory; /* of the files that have the memory; empty: it is anonymous */
};

/** Creates the devices. On failure, returns false, sets `out_error` and leaves `out_devices` unchanged. */
bool make_devices(const DeviceSettings &settings, std::vector<std::unique_ptr<Device>> *out_devices,
                  std::string *out_error);

}  // namespace cuda_sim
