#include "device.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "parse.h"
#include "stream.h"

namespace cuda_sim {
namespace {

constexpr uint64_t kMaxDeviceBytes = uint64_t{1} << 44;

/** Empty if a size is invalid. */
std::optional<std::vector<uint64_t>> parse_sizes(std::string_view text) {
  std::vector<uint64_t> sizes;
  for (const std::string_view each : split(text, ',')) {
    const uint64_t bytes = parse_size(each).value_or(0) / kGranuleBytes * kGranuleBytes;
    if (bytes == 0 || bytes > kMaxDeviceBytes || sizes.size() == kMaxDevices) return std::nullopt;
    sizes.push_back(bytes);
  }
  return sizes;
}

/** Indexes below `count`, each at most once; all of them if the text is empty. */
std::optional<std::vector<size_t>> parse_visible(std::string_view text, size_t count) {
  std::vector<size_t> visible;
  for (const std::string_view each : split(text, ',')) {
    const std::optional<uint64_t> index = parse_number(each);
    const bool again = index && std::find(visible.begin(), visible.end(), *index) != visible.end();
    if (!index || *index >= count || again) return std::nullopt;
    visible.push_back(*index);
  }
  for (size_t index = 0; text.empty() && index < count; ++index) visible.push_back(index);
  return visible;
}

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

CUuuid device_uuid(int index) {
  CUuuid uuid = {};
  static const unsigned char kText[] = "simulated-gpu";
  std::memcpy(uuid.bytes, kText, sizeof(kText) - 1);
  uuid.bytes[15] = static_cast<unsigned char>(index);
  return uuid;
}

std::string device_uuid_text(int index) {
  constexpr char kDigits[] = "0123456789abcdef";
  const CUuuid uuid = device_uuid(index);
  std::string text = "GPU-";
  for (size_t i = 0; i < sizeof(uuid.bytes); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    const auto byte = static_cast<unsigned char>(uuid.bytes[i]);
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

bool make_devices(const DeviceSettings &settings, std::vector<std::unique_ptr<Device>> *out_devices,
                  std::string *out_error) {
  const std::optional<std::vector<uint64_t>> sizes = parse_sizes(settings.sizes);
  if (!sizes) {
    *out_error = "CUDA_SIM_DEVICES \"" + settings.sizes +
                 "\" is invalid: use 1 to 64 sizes from 2MiB to 16384GiB, such as 24GiB,512MiB";
    return false;
  }
  const std::optional<std::vector<size_t>> visible = parse_visible(settings.visible, sizes->size());
  if (!visible) {
    *out_error = "CUDA_SIM_VISIBLE_DEVICES \"" + settings.visible + "\" is invalid: use indexes such as 1,0, each once";
    return false;
  }
  std::vector<std::unique_ptr<Device>> devices;
  for (const size_t at : *visible) {
    const int ordinal = static_cast<int>(devices.size()), index = static_cast<int>(at);
    std::unique_ptr<PhysicalMemory> memory = PhysicalMemory::open(index, (*sizes)[at], settings.directory, out_error);
    if (memory == nullptr) {
      *out_error = "memory of device " + std::to_string(ordinal) + " is not available: " + *out_error;
      return false;
    }
    devices.emplace_back(new Device{ordinal, index, std::move(memory), {}});
  }
  *out_devices = std::move(devices);
  return true;
}

}  // namespace cuda_sim
