#include <cstdlib>

#include "fault_scenario.h"
#include "harness.h"
#include "sharing_process.h"

int main(int argc, char **argv) {
  // Two devices and a small one, unless the caller has set others.
  setenv("CUDA_SIM_DEVICES", "2GiB,256MiB,64MiB", 0);
  if (argc == 3 && std::string(argv[1]) == "--fault") return test::run_fault_scenario_alone(argv[2]);
  if (argc == 2 && argv[1] == std::string(test::kOwnerRole)) return test::run_owner();
  if (argc == 2 && argv[1] == std::string(test::kAdopterRole)) return test::run_adopter();
  return test::run(argc > 1 ? argv[1] : "") == 0 ? 0 : 1;
}
