#include "device.h"

#include <cstring>

#include "parse.h"
#include "stream.h"

namespace cuda_sim {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{1} << 44;

}  // namespace

const std::string_view kDeviceName = "Simulated GPU";

void PrimaryContext::retain() {
  references_.fetch_add(1);
}

bool PrimaryContext::release() {
  uint64_t references = references_.load();
  while (references != 0) {
    if (references_.compare_exchange_weak(references, references - 1)) return true;
  }
  return false;
}

void PrimaryContext::set_sticky_error(CUresult error) {
  CUresult none = CUDA_SUCCESS;
  sticky_error_.compare_exchange_strong(none, error);
}

std::shared_ptr<Stream> PrimaryContext::default_stream(Device &device) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (default_stream_ == nullptr) default_stream_ = std::make_shared<Stream>(device);
  return default_stream_;
}

CUuuid device_uuid(int ordinal) {
  CUuuid uuid = {};
  static const unsigned char kText[] = "simulated-gpu";
  std::memcpy(uuid.bytes, kText, sizeof(kText) - 1);
  uuid.bytes[15] = static_cast<unsigned char>(ordinal);
  return uuid;
}

std::string device_uuid_text(int ordinal) {
  constexpr char kDigits[] = "0123456789abcdef";
  const CUuuid uuid = device_uuid(ordinal);
  std::string text = "GPU-";
  for (size_t i = 0; i < sizeof(uuid.bytes); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    const auto byte = static_cast<unsigned char>(uuid.bytes[i]);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

bool make_devices(std::string_view sizes, const std::string &directory,
                  std::vector<std::unique_ptr<Device>> *out_devices, std::string *out_error) {
  std::vector<std::unique_ptr<Device>> devices;
  for (const std::string_view text : split(sizes, ',')) {
    const uint64_t bytes = parse_size(text).value_or(0) / kGranuleBytes * kGranuleBytes;
    if (bytes == 0 || bytes > kMaxBytes || devices.size() == kMaxDevices) {
      *out_error = "CUDA_SIM_DEVICES \"" + std::string(sizes) +
                   "\" is invalid: use 1 to 64 sizes from 2MiB to 16384GiB, such as 24GiB,512MiB";
      return false;
    }
    const int ordinal = static_cast<int>(devices.size());
    std::unique_ptr<PhysicalMemory> memory = PhysicalMemory::open(ordinal, bytes, directory, out_error);
    if (memory == nullptr) {
      *out_error = "memory of device " + std::to_string(ordinal) + " is not available: " + *out_error;
      return false;
    }
    devices.emplace_back(new Device{ordinal, std::move(memory), {}});
  }
  *out_devices = std::move(devices);
  return true;
}

}  // namespace cuda_sim
