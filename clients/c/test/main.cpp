#include <cstdlib>

#include "../../../cuda/test/harness.h"

int main(int argc, char **argv) {
  setenv("CUDA_SIM_DEVICES", "64MiB,64MiB", 0);
  // The worker sees the devices in the other order, so a client that trusted ordinals would fail.
  setenv("CUDA_SIM_VISIBLE_DEVICES", "1,0", 1);
  return test::run(argc > 1 ? argv[1] : "") == 0 ? 0 : 1;
}
