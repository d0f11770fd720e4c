/** The ways to write to device memory. */
#pragma once

#include <functional>
#include <vector>

#include "child.h"

namespace probe {

struct Write {
  const char *name;
  std::function<CUresult(const Child &, CUdeviceptr)> start;
};

const std::vector<Write> &writes();

}  // namespace probe
