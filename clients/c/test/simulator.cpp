#include "simulator.h"

#include <dlfcn.h>

#include "../../../cuda/test/harness.h"
#include "worker_process.h"

namespace test {
namespace {

template <typename Function>
Function *find(const char *name) {
  static void *const library = dlopen(simulated_driver().c_str(), RTLD_NOW | RTLD_LOCAL);
  REQUIRE(library != nullptr);
  return reinterpret_cast<Function *>(dlsym(library, name));
}

}  // namespace

Simulator::Simulator() {
  REQUIRE(find<int(unsigned)>("cuInit")(0) == 0);
  reset();
}

Simulator::~Simulator() {
  reset();
}

void Simulator::set(const char *setting, const std::string &value) const {
  REQUIRE(find<int(const char *, const char *)>("cuSimSet")(setting, value.c_str()) == 0);
}

void Simulator::reset() const {
  find<void()>("cuSimReset")();
}

uint64_t Simulator::calls(const char *function) const {
  return find<uint64_t(const char *)>("cuSimCalls")(function);
}

uint64_t Simulator::live(const char *creator) const {
  return find<uint64_t(const char *)>("cuSimLive")(creator);
}

}  // namespace test
