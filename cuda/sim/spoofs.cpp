#include "spoofs.h"

#include <algorithm>
#include <climits>

#include "parse.h"

namespace cuda_sim {
namespace {

constexpr std::array<std::string_view, static_cast<size_t>(Spoof::kCount)> kNames = {
    "memory_type", "is_managed", "ordinal",        "host_pointer", "location_type",
    "location_id", "access",     "foreign_access", "vmm",          "mig",
    "cuda_version", "kernel_output", "export"};

}  // namespace

bool Spoofs::set(std::string_view text) {
  Values values;
  for (const std::string_view entry : split(text, ',')) {
    const size_t equals = entry.find('=');
    if (equals == std::string_view::npos) return false;
    const auto name = std::find(kNames.begin(), kNames.end(), entry.substr(0, equals));
    const std::optional<uint64_t> value = parse_number(entry.substr(equals + 1));
    if (name == kNames.end() || !value || *value > INT_MAX) return false;
    values[static_cast<size_t>(name - kNames.begin())] = static_cast<int>(*value);
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  values_ = values;
  return true;
}

int Spoofs::report(Spoof spoof, int actual) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return values_[static_cast<size_t>(spoof)].value_or(actual);
}

}  // namespace cuda_sim
