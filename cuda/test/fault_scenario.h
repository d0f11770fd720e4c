/** The lifecycle of a shard, run while the driver fails at a chosen call. */
#pragma once

#include <string>

#include "../include/vram.h"

namespace test {

/**
 * Opens, allocates, writes, reads, loads, seals, attests, digests, frees, closes. With VRAM_TEST_EXPORTABLE it also
 * hands the memory over, adopts it and leaves it. After a failure it releases what it has. Returns the first failure,
 * also if that made a device unable to export. Handles that could not be closed stay in the scenario.
 */
class FaultScenario {
 public:
  vram_status run();
  /** Closes the handles that are left. VRAM_OK if there are none. */
  vram_status release();

 private:
  vram_status run_steps();
  vram_status open();
  vram_status fill_and_seal();
  vram_status fill_by_writers();
  vram_status check_digest(uint64_t allocation) const;
  vram_status share();

  uint64_t driver_ = 0;
  uint64_t allocation_ = 0;
  uint64_t adopted_ = 0;
  uint64_t load_ = 0;
  uint64_t writer_ = 0;
  uint64_t other_ = 0;
  vram_load_result loaded_ = {};
};

/** Runs the scenario with one fault in this process. Returns the exit status: 0 if it failed with that fault. */
int run_fault_scenario_alone(const char *fault);

}  // namespace test
