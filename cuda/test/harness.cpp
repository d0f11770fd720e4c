#include "harness.h"

#include <chrono>
#include <cstdio>
#include <mutex>
#include <vector>

namespace test {
namespace {

struct Test {
  const char *name;
  Body body;
};

std::vector<Test> &tests() {
  static std::vector<Test> all;
  return all;
}

std::mutex failure_mutex;  // any thread of a test may report a failure
int failures_of_this_test = 0;

std::string describe(vram_status status) {
  return std::string(vram_status_name(status)) + " (" + std::to_string(status) + ")";
}

/** The duration of a test that takes long enough to matter, as ` (1.2 s)`. */
std::string describe(std::chrono::duration<double> elapsed) {
  if (elapsed.count() < 0.5) return "";
  char text[32];
  std::snprintf(text, sizeof text, " (%.1f s)", elapsed.count());
  return text;
}

}  // namespace

int add(const char *name, Body body) {
  tests().push_back({name, body});
  return 0;
}

void fail(const char *file, int line, const std::string &what) {
  const std::lock_guard<std::mutex> lock(failure_mutex);
  ++failures_of_this_test;
  std::printf("    %s:%d: %s\n", file, line, what.c_str());
}

bool check_status(const char *file, int line, vram_status expected, vram_status actual, const std::string &what) {
  if (expected == actual) return true;
  fail(file, line, what + ": expected " + describe(expected) + ", got " + describe(actual));
  return false;
}

int run(const std::string &filter) {
  int passed = 0, failed = 0;
  for (const Test &test : tests()) {
    if (std::string(test.name).find(filter) == std::string::npos) continue;
    failures_of_this_test = 0;
    std::string skipped;
    const auto started = std::chrono::steady_clock::now();
    try {
      test.body();
    } catch (const Skipped &skip) {
      skipped = skip.reason;
    } catch (const Ended &) {
    }
    if (failures_of_this_test == 0 && !skipped.empty()) {
      std::printf("skip  %s: %s\n", test.name, skipped.c_str());
      continue;
    }
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started;
    std::printf("%s  %s%s\n", failures_of_this_test == 0 ? "ok  " : "FAIL", test.name, describe(elapsed).c_str());
    std::fflush(stdout);
    ++(failures_of_this_test == 0 ? passed : failed);
  }
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed;
}

}  // namespace test
