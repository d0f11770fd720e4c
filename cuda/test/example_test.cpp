/** cuda/example.c, built as strict C11. */
#include "harness.h"
#include "process.h"
#include "session.h"

namespace test {

TEST("the C example loads, seals, attests, digests and frees a shard") {
  CHECK(run_process(next_to_program("example"), {driver_path(), kernels_path()}) == 0);
}

TEST("the C example fails if the driver library is missing") {
  CHECK(run_process(next_to_program("example"), {"/nonexistent/libcuda.so", kernels_path()}) != 0);
}

}  // namespace test
