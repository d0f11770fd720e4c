#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "file_faults.h"
#include "harness.h"

namespace test {

Gate::Gate(const std::string &path) : path_(path) {
  std::FILE *const file = std::fopen(path.c_str(), "w");
  REQUIRE(file != nullptr);
  REQUIRE(std::fclose(file) == 0);
  REQUIRE(setenv("VRAM_TEST_GATE", path.c_str(), 1) == 0);
}

Gate::~Gate() {
  (void)unlink(path_.c_str());
}

}  // namespace test
