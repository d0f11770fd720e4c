#include "simulator.h"

#include <cstdio>
#include <cstdlib>

namespace cuda_sim {
namespace {

constexpr char kDefaultDevices[] = "24GiB,24GiB";
constexpr const char *kSettings[] = {"FAULTS", "SPOOFS", "LATENCY_US"};

std::string environment(const std::string &setting) {
  const char *value = std::getenv(("CUDA_SIM_" + setting).c_str());
  return value != nullptr ? value : "";
}

}  // namespace

CUresult Simulator::initialize() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (is_initialized()) return CUDA_SUCCESS;
  std::string error;
  if (!read_environment(&error)) {
    std::fprintf(stderr, "cuda_sim: %s\n", error.c_str());
    return CUDA_ERROR_INVALID_VALUE;
  }
  address_space_ = std::make_unique<AddressSpace>(devices_.size());
  initialized_ = true;
  return CUDA_SUCCESS;
}

bool Simulator::read_environment(std::string *out_error) {
  for (size_t i = 0; i < std::size(kSettings); ++i) {
    const std::string value = environment(kSettings[i]);
    // A value from cuSimSet takes precedence over the environment.
    if (is_set_[i] || value.empty()) continue;
    if (!apply(kSettings[i], value)) {
      *out_error = std::string("CUDA_SIM_") + kSettings[i] + " \"" + value + "\" is invalid";
      return false;
    }
  }
  const std::string start = environment("FAULTS_AFTER");
  if (!start.empty() && !faults.delay_until(start)) {
    *out_error = "CUDA_SIM_FAULTS_AFTER \"" + start + "\" is invalid";
    return false;
  }
  const std::string engine = environment("ENGINE");
  if (engine != "" && engine != "fast" && engine != "source") {
    *out_error = "CUDA_SIM_ENGINE \"" + engine + "\" is invalid: use fast or source";
    return false;
  }
  engine_ = engine == "source" ? Engine::kSource : Engine::kFast;
  const std::string sizes = environment("DEVICES");
  const DeviceSettings devices = {sizes.empty() ? kDefaultDevices : sizes, environment("VISIBLE_DEVICES"),
                                  environment("DIR")};
  return make_devices(devices, &devices_, out_error);
}

bool Simulator::apply(const std::string &setting, const std::string &value) {
  if (setting == "FAULTS") return faults.set(value);
  if (setting == "SPOOFS") return spoofs.set(value);
  if (setting == "LATENCY_US") return latency.set(value);
  return false;
}

int Simulator::set(const std::string &setting, const std::string &value) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!apply(setting, value)) return 1;
  for (size_t i = 0; i < std::size(kSettings); ++i) is_set_[i] = is_set_[i] || setting == kSettings[i];
  return 0;
}

void Simulator::reset() {
  const std::lock_guard<std::mutex> lock(mutex_);
  faults.reset();
  spoofs.set("");
  latency.set("");
  for (bool &is_set : is_set_) is_set = true;
  for (const auto &device : devices_) device->context.clear_sticky_error();
}

uint64_t Simulator::live(const std::string &creator) const {
  uint64_t contexts = 0;
  if (is_initialized()) {
    for (const auto &device : devices_) contexts += device->context.references();
  }
  const struct {
    const char *creator;
    uint64_t count;
    bool in_sum;
  } kinds[] = {
      {"cuMemCreate", allocations.count(), true},
      {"cuMemAddressReserve", is_initialized() ? address_space_->reservations() : 0, true},
      {"cuMemMap", is_initialized() ? address_space_->mappings() : 0, true},
      {"cuStreamCreate", streams.count(), true},
      {"cuEventCreate", events.count(), true},
      {"cuModuleLoadData", modules.count(), true},
      {"cuMemHostAlloc", host_memory.count(), true},
      {"cuDevicePrimaryCtxRetain", contexts, false},
  };
  uint64_t sum = 0;
  for (const auto &kind : kinds) {
    if (creator == kind.creator || (creator == "*" && kind.in_sum)) sum += kind.count;
  }
  return sum;
}

Device *Simulator::device(int ordinal) const {
  if (ordinal < 0 || static_cast<size_t>(ordinal) >= devices_.size()) return nullptr;
  return devices_[static_cast<size_t>(ordinal)].get();
}

Simulator &simulator() {
  static Simulator *const instance = new Simulator;
  return *instance;
}

}  // namespace cuda_sim
