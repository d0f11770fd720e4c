#include "simulator.h"

#include <dlfcn.h>

#include <cstdlib>

#include "harness.h"
#include "session.h"

namespace test {
namespace {

void *library() {
  static void *const loaded = dlopen(driver_path().c_str(), RTLD_NOW | RTLD_LOCAL);
  return loaded;
}

template <typename Function>
Function *find(const char *name) {
  return library() != nullptr ? reinterpret_cast<Function *>(dlsym(library(), name)) : nullptr;
}

/** A control of the simulator. Null for a driver that a setting names, which is treated like a real one. */
template <typename Function>
Function *find_control(const char *name) {
  return std::getenv("VRAM_TEST_DRIVER") == nullptr ? find<Function>(name) : nullptr;
}

struct Controls {
  int (*set)(const char *, const char *) = find_control<int(const char *, const char *)>("cuSimSet");
  uint64_t (*calls)(const char *) = find_control<uint64_t(const char *)>("cuSimCalls");
  void (*reset)() = find_control<void()>("cuSimReset");
  uint64_t (*live)(const char *) = find_control<uint64_t(const char *)>("cuSimLive");
};

const Controls &controls() {
  static const Controls found;
  return found;
}

}  // namespace

const DriverFunctions &driver_functions() {
  static const DriverFunctions functions = [] {
    DriverFunctions found;
#define FIND(name, parameters) found.name = find<CUresult parameters>(#name);
    VRAM_CUDA_FUNCTIONS(FIND)
#undef FIND
    return found;
  }();
  return functions;
}

bool is_simulated() {
  return controls().set != nullptr;
}

Simulator::Simulator() {
  if (controls().set == nullptr) SKIP("needs the simulator");
  reset();
}

Simulator::~Simulator() {
  reset();
}

void Simulator::set(const char *setting, const std::string &value) const {
  REQUIRE(controls().set(setting, value.c_str()) == 0);
}
void Simulator::reset() const {
  controls().reset();
}
uint64_t Simulator::calls(const char *function) const {
  return controls().calls(function);
}
uint64_t Simulator::live(const char *creator) const {
  return controls().live(creator);
}

}  // namespace test
