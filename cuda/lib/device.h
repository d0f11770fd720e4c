/** One GPU: its primary context, the kernels loaded into it, a stream for copies and a hasher. */
#pragma once

#include <string>

#include "copy_streams.h"
#include "device_hasher.h"
#include "export_probe.h"

namespace vram {

class Device {
 public:
  explicit Device(const DriverTable &driver)
      : driver_(driver), export_probe_(driver), staged_stream_(driver), copy_streams_(driver), hasher_(driver) {}
  ~Device() { (void)close(); }
  Device(const Device &) = delete;
  Device &operator=(const Device &) = delete;

  /** `kernels` is a module image. VRAM_UNSUPPORTED_DEVICE if the device lacks virtual memory management. */
  vram_status open(int ordinal, const std::string &kernels);
  /** Whether open() succeeded. */
  bool is_open() const { return open_; }

  /** Releases everything. On failure another call continues where this one stopped. */
  vram_status close();

  /** Makes the device's context current for the calling thread. */
  vram_status bind() const { return from_driver(driver_.cuCtxSetCurrent(context_)); }

  vram_status get_info(vram_device_info *out_info) const;

  int ordinal() const { return ordinal_; }
  uint64_t granularity_bytes() const { return granularity_bytes_; }
  /** VRAM_NOT_EXPORTABLE if the device cannot export memory, VRAM_OUT_OF_MEMORY if it is full. Needs the context. */
  vram_status require_export() { return export_probe_.require(); }
  StagedStream &staged_stream() { return staged_stream_; }
  CopyStreams &copy_streams() { return copy_streams_; }
  DeviceHasher &hasher() { return hasher_; }

 private:
  vram_status identify();
  vram_status detect_mig();

  const DriverTable &driver_;
  bool open_ = false;
  int ordinal_ = 0;
  CUdevice device_ = 0;
  char name_[sizeof(vram_device_info::name)] = {};
  CUuuid uuid_ = {};
  bool mig_ = false;
  size_t total_bytes_ = 0;
  size_t granularity_bytes_ = 0;
  CUcontext context_ = nullptr;
  CUmodule module_ = nullptr;
  ExportProbe export_probe_;
  StagedStream staged_stream_;
  CopyStreams copy_streams_;
  DeviceHasher hasher_;
};

}  // namespace vram
