#include <cstdlib>

#include "../../../cuda/test/harness.h"

int main(int argc, char **argv) {
  setenv("CUDA_SIM_DEVICES", "64MiB,64MiB", 0);
  return test::run(argc > 1 ? argv[1] : "") == 0 ? 0 : 1;
}
