#include <cstdlib>

#include "fault_scenario.h"
#include "harness.h"

int main(int argc, char **argv) {
  // Two devices and a small one, unless the caller has set others.
  setenv("CUDA_SIM_DEVICES", "2GiB,256MiB,64MiB", 0);
  if (argc == 3 && std::string(argv[1]) == "--fault") return test::run_fault_scenario_alone(argv[2]);
  return test::run(argc > 1 ? argv[1] : "") == 0 ? 0 : 1;
}
