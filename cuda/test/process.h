/** Runs a program as a child process. */
#pragma once

#include <string>
#include <vector>

namespace test {

/** A file in the folder of this program. With a sanitizer, that is the build which the sanitizer instruments. */
std::string beside_program(const char *file);

/** Runs a program with this process's environment and waits for it. Returns its wait status: 0 if it exited with 0. */
int run_process(const std::string &program, std::vector<std::string> arguments);

}  // namespace test
