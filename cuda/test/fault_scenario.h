/** The lifecycle of a shard, run while the driver fails at a chosen call. */
#pragma once

#include <string>

#include "../include/vram.h"

namespace test {

/**
 * Opens, allocates, writes, reads, loads, seals, attests, digests, frees, closes. After a failure it releases what it
 * has. Returns the first failure. Handles that could not be closed stay in the scenario.
 */
class FaultScenario {
 public:
  vram_status run();
  /** Closes the handles that are left. VRAM_OK if there are none. */
  vram_status release();

 private:
  vram_status run_steps();

  uint64_t driver_ = 0;
  uint64_t allocation_ = 0;
  uint64_t load_ = 0;
};

/** Runs the scenario with one fault in this process. Returns the exit status: 0 if it failed with that fault. */
int run_fault_scenario_alone(const char *fault);

}  // namespace test
