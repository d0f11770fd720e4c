#include <cstdlib>
#include <string>

#include "descriptors.h"
#include "fault_scenario.h"
#include "harness.h"
#include "process.h"
#include "session.h"
#include "simulator.h"

namespace test {
namespace {

constexpr const char *kFunctions[] = {"*",
#define NAME(name, parameters) #name,
                                      VRAM_CUDA_FUNCTIONS(NAME)
#undef NAME
};

std::string fault(const char *function, uint64_t call, bool for_good, CUresult error = CUDA_ERROR_UNKNOWN) {
  return std::string(function) + ":" + std::to_string(call) + (for_good ? "+=" : "=") + std::to_string(error);
}

/** With VRAM_TEST_QUICK only every tenth call fails, because runs under a sanitizer are slow. */
uint64_t stride() {
  return std::getenv("VRAM_TEST_QUICK") == nullptr ? 1 : 10;
}

/** How often a run without faults calls a function. */
uint64_t calls_of(const Simulator &simulator, const char *function) {
  simulator.reset();
  FaultScenario scenario;
  REQUIRE_OK(scenario.run());
  return simulator.calls(function);
}

void check_fault(const Simulator &simulator, const std::string &setting) {
  const uint64_t live_before = simulator.live("*");
  const size_t descriptors_before = open_descriptors();
  simulator.reset();
  simulator.set("FAULTS", setting);
  FaultScenario scenario;
  const vram_status status = scenario.run();
  // The scenario must return exactly the error that was injected.
  (void)check_status(__FILE__, __LINE__, VRAM_DRIVER_ERROR_BASE + CUDA_ERROR_UNKNOWN, status, setting);
  simulator.reset();
  (void)check_status(__FILE__, __LINE__, VRAM_OK, scenario.release(), "release after " + setting);
  if (simulator.live("*") != live_before) {
    fail(__FILE__, __LINE__, setting + " leaks: " + std::to_string(simulator.live("*") - live_before));
  }
  if (open_descriptors() != descriptors_before) fail(__FILE__, __LINE__, setting + " leaks descriptors");
}

/** If this function fails permanently, vram_open() cannot release what it has acquired so far. */
bool fails_undo_of_open(const std::string &function) {
  return function == "*" || function == "cuCtxSetCurrent";
}

}  // namespace

TEST("if any driver call fails once, the failure is reported and nothing leaks") {
  const Simulator simulator;
  for (const char *function : kFunctions) {
    const uint64_t calls = calls_of(simulator, function);
    for (uint64_t call = 1; call <= calls; call += stride()) check_fault(simulator, fault(function, call, false));
  }
}

TEST("if any driver call fails permanently, releasing succeeds once the driver recovers") {
  const Simulator simulator;
  for (const char *function : kFunctions) {
    if (fails_undo_of_open(function)) continue;
    const uint64_t calls = calls_of(simulator, function);
    for (uint64_t call = 1; call <= calls; call += stride()) check_fault(simulator, fault(function, call, true));
  }
}

TEST("if every driver call fails from any call on, the process survives") {
  const Simulator simulator;
  for (const char *function : {"*", "cuCtxSetCurrent"}) {
    const uint64_t calls = calls_of(simulator, function);
    for (uint64_t call = 1; call <= calls; call += stride()) {
      const std::string setting = fault(function, call, true);
      if (run_process("/proc/self/exe", {"--fault", setting}) != 0)
        fail(__FILE__, __LINE__, setting + " is not survived");
    }
  }
}

TEST("out of memory has its own status") {
  const Simulator simulator;
  const Session session;
  uint64_t allocation = 0;
  simulator.set("FAULTS", fault("cuMemCreate", 1, false, CUDA_ERROR_OUT_OF_MEMORY));
  CHECK_STATUS(VRAM_OUT_OF_MEMORY, vram_alloc(session.driver(), 0, 1, alloc_flags(), &allocation));

  const vram_options options = default_options();
  uint64_t driver = 0;
  simulator.set("FAULTS", fault("cuMemHostAlloc", 1, false, CUDA_ERROR_OUT_OF_MEMORY));
  REQUIRE_OK(vram_open(&options, &driver));
  CHECK_STATUS(VRAM_HOST_OUT_OF_MEMORY, vram_open_device(driver, 0));
  CHECK_STATUS(VRAM_OK, vram_open_device(driver, 0));
  REQUIRE_OK(vram_close(driver));
  driver = 0;
  simulator.set("FAULTS", fault("cuInit", 1, false, CUDA_ERROR_NO_DEVICE));
  CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + CUDA_ERROR_NO_DEVICE, vram_open(&options, &driver));
  CHECK(driver == 0 && allocation == 0);
}

TEST("a failed vram_free continues where it stopped, and the memory is unusable in between") {
  const Simulator simulator;
  const Session session;
  const uint64_t allocation = session.alloc(0, kMiB);
  REQUIRE_OK(vram_seal(allocation));
  uint8_t byte = 0;
  for (const char *step : {"cuMemSetAccess", "cuMemsetD8Async", "cuMemUnmap", "cuMemAddressFree", "cuMemRelease"}) {
    simulator.set("FAULTS", fault(step, 1, false));
    CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + CUDA_ERROR_UNKNOWN, vram_free(allocation));
    // Also after the first step, which may have made a part of the memory writable.
    CHECK_STATUS(VRAM_STALE_HANDLE, vram_read(allocation, 0, &byte, 1));
  }
  CHECK_STATUS(VRAM_OK, vram_free(allocation));
  CHECK_STATUS(VRAM_OK, vram_free(allocation));
}

TEST("a failed load stays failed and can be closed") {
  const Simulator simulator;
  const Session session;
  const uint64_t allocation = session.alloc(0, 2 * kMiB);
  const uint64_t load = session.open_load(allocation);
  simulator.set("FAULTS", fault("cuMemcpyHtoDAsync_v2", 1, false));
  const vram_status failure = VRAM_DRIVER_ERROR_BASE + CUDA_ERROR_UNKNOWN;
  CHECK_STATUS(failure, vram_load_push(load, 0, kMiB));
  CHECK_STATUS(failure, vram_load_push(load, 0, kMiB));
  vram_load_result result = {};
  CHECK_STATUS(failure, vram_load_finish(load, &result));
  CHECK_STATUS(VRAM_OK, vram_load_close(load));
  CHECK_STATUS(VRAM_OK, vram_free(allocation));
}

}  // namespace test
