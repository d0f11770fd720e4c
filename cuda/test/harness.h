/**
 * A small test harness. TEST("what it proves") { … } registers a test. CHECK records a failure and continues, REQUIRE
 * ends the test, SKIP ends it with a reason. main() runs the tests whose name contains the first argument, or all.
 */
#pragma once

#include <string>

#include "../include/vram.h"

namespace test {

struct Skipped {
  std::string reason;
};
struct Ended {};

using Body = void (*)();

/** Registers a test. The return value only allows a call in a static initializer. */
int add(const char *name, Body body);

/** Records a failure of the running test. Any thread may call it. */
void fail(const char *file, int line, const std::string &what);

/** Records a failure if the statuses differ. Returns whether they are equal. */
bool check_status(const char *file, int line, vram_status expected, vram_status actual, const std::string &what);

/** Runs the registered tests whose name contains `filter`. Returns the number that failed. */
int run(const std::string &filter);

}  // namespace test

#define TEST_JOIN_(a, b) a##b
#define TEST_NAME_(a, b) TEST_JOIN_(a, b)
#define TEST(name)                                                   \
  static void TEST_NAME_(test_body_, __LINE__)();                    \
  [[maybe_unused]] static const int TEST_NAME_(test_id_, __LINE__) = \
      test::add(name, TEST_NAME_(test_body_, __LINE__));             \
  static void TEST_NAME_(test_body_, __LINE__)()

#define CHECK(condition)                                                  \
  do {                                                                    \
    if (!(condition)) test::fail(__FILE__, __LINE__, "not: " #condition); \
  } while (false)

#define REQUIRE(condition)                                \
  do {                                                    \
    if (!(condition)) {                                   \
      test::fail(__FILE__, __LINE__, "not: " #condition); \
      throw test::Ended{};                                \
    }                                                     \
  } while (false)

/** CHECK_STATUS(VRAM_SEALED, vram_write(…)) */
#define CHECK_STATUS(expected, ...) (void)test::check_status(__FILE__, __LINE__, expected, __VA_ARGS__, #__VA_ARGS__)

/** Ends the test unless the call returns VRAM_OK. */
#define REQUIRE_OK(...)                                                                                   \
  do {                                                                                                    \
    if (!test::check_status(__FILE__, __LINE__, VRAM_OK, __VA_ARGS__, #__VA_ARGS__)) throw test::Ended{}; \
  } while (false)

#define SKIP(reason)    \
  throw test::Skipped { \
    reason              \
  }
