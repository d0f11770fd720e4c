/** A shard's whole life, run while the driver fails at a chosen call. */
#pragma once

#include <string>

#include "../include/vram.h"

namespace test {

/**
 * Opens, allocates, writes, reads, loads, seals, attests, digests, frees, closes; after a failure it goes on with
 * giving back what it has. Returns the first failure. Handles that could not be given back stay in the scenario.
 */
class FaultScenario {
 public:
  vram_status run();
  /** Gives back what is left. VRAM_OK when nothing is. */
  vram_status give_back();

 private:
  vram_status live();

  uint64_t driver_ = 0;
  uint64_t allocation_ = 0;
  uint64_t load_ = 0;
};

/** Runs the scenario with one fault set in this process, and nothing else. The exit code: 0 when it failed cleanly. */
int run_fault_scenario_alone(const char *fault);

}  // namespace test
