/** The example, and what `make install` installs. */
#include <cstdio>
#include <cstdlib>
#include <string>

#include "../../../cuda/test/harness.h"
#include "worker_process.h"

namespace test {
namespace {

/** Runs a shell command. Returns its output. */
std::string output_of(const std::string &command, int expected_status = 0) {
  FILE *const pipe = popen((command + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string output;
  for (int c = 0; (c = std::fgetc(pipe)) != EOF;) output += static_cast<char>(c);
  if (pclose(pipe) != expected_status) fail(__FILE__, __LINE__, command + "\n" + output);
  return output;
}

}  // namespace

TEST("the example attaches, prints the receipt and the first byte, and detaches") {
  const WorkerProcess worker;
  const std::string command = next_to_program("example") + " " + worker.socket_path() + " " + simulated_driver();
  const std::string output = output_of(command + " s0");
  CHECK(output.find("attached 6295553 bytes on device 1 of worker fake\nreceipt receipt-1\nfirst byte ") == 0);
  CHECK(output_of(command + " missing", 1 << 8) == "example: attach: VRAM_ATTACH_REFUSED NOT_FOUND no such luck\n");
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST("an installed library is found by pkg-config, and needs only libc") {
  if (std::system("command -v pkg-config objdump > /dev/null") != 0) SKIP("needs pkg-config and objdump");
  const std::string source = std::string(__FILE__).substr(0, std::string(__FILE__).rfind("/test/") + 1);
  char directory[] = "/tmp/vram_attach-XXXXXX";
  REQUIRE(mkdtemp(directory) != nullptr);
  const std::string root = directory, pc = "PKG_CONFIG_PATH=" + root + "/lib/pkgconfig pkg-config ";
  const std::string build = next_to_program("");
  output_of("make -s -C '" + (source.empty() ? "." : source) + "' install PREFIX=" + root + " BUILD=" + build);
  CHECK(output_of(pc + "--modversion vram_attach") == "1.0.0\n");
  const std::string program = root + "/example";
  output_of("cc -std=c11 -o " + program + " '" + source + "example.c' $(" + pc + "--cflags --libs vram_attach)");
  CHECK(output_of("LD_LIBRARY_PATH=" + root + "/lib " + program, 2 << 8) == "usage: example SOCKET DRIVER SHARD_ID\n");
  const std::string needed = output_of("objdump -p " + root + "/lib/libvram_attach.so.1 | grep NEEDED");
  CHECK(needed.find("libc.so.6") != std::string::npos && needed.find("++") == std::string::npos);
  output_of("make -s -C '" + (source.empty() ? "." : source) + "' uninstall PREFIX=" + root + " && rm -r " + program);
  CHECK(output_of("find " + root + " -type f -o -type l").empty());
  output_of("rm -r " + root);
}
#endif

}  // namespace test
