/** The questions by name, in the order in which they are asked. */
#pragma once

#include <functional>
#include <vector>

#include "asker.h"

namespace probe {

struct Question {
  const char *name;
  std::function<void(Asker &)> ask;
};
using Questions = std::vector<Question>;

/** The virtual memory functions, and attributes of memory. */
Questions memory_questions();
/** Copies, kernels, modules, events and pinned memory. */
Questions stream_questions();
/** Contexts and devices, reused memory, and every function after an error that destroyed the context. */
Questions context_questions();

}  // namespace probe
