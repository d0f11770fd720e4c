/** The attempts by name, each for a process of its own. */
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "child.h"

namespace probe {

struct Attempt {
  std::string name;
  std::function<void(Child &)> run;
};

std::vector<Attempt> attempts();

/** The attempt that waits, through its standard input, until the parent has written to the memory. */
constexpr const char *kImporterWrites = "importer/writes-sealed-memory";

}  // namespace probe
