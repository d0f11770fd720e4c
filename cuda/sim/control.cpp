#include "control.h"

#include "simulator.h"

using cuda_sim::simulator;

extern "C" int cuSimSet(const char *setting, const char *value) {
  if (setting == nullptr || value == nullptr) return 1;
  return simulator().set(setting, value);
}

extern "C" uint64_t cuSimCalls(const char *function) {
  return function != nullptr ? simulator().faults.calls(function) : 0;
}

extern "C" void cuSimReset(void) {
  simulator().reset();
}

extern "C" uint64_t cuSimLive(const char *creator) {
  return creator != nullptr ? simulator().live(creator) : 0;
}
