/** Loads with both digests, whose groups two threads hash. */
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <thread>
#include <vector>

#include "content.h"
#include "harness.h"
#include "host_faults.h"
#include "model_directory.h"
#include "session.h"

namespace test {
namespace {

constexpr uint64_t kBytes = 9 * kMiB + 12345;

/** Pushes the first `pushed` bytes, calls load(handle) for the rest, and compares both digests and the memory. */
template <typename LoadRest>
void check_load(const Session &session, const std::vector<uint8_t> &data, uint64_t pushed, LoadRest load_rest) {
  vram_load_result expected = {}, result = {};
  REQUIRE_OK(vram_free(session.load(0, data, &expected)));
  const uint64_t allocation = session.alloc(0, data.size());
  const uint64_t load = session.open_load(allocation);
  const std::vector<uint8_t> first(data.begin(), data.begin() + static_cast<ptrdiff_t>(pushed));
  if (pushed != 0) session.push_all(load, first, kMiB, 0);
  load_rest(load);
  REQUIRE_OK(vram_load_finish(load, &result));
  CHECK(std::memcmp(&result, &expected, sizeof(result)) == 0);
  REQUIRE_OK(vram_load_close(load));
  CHECK(session.read(allocation, 0, data.size()) == data);
  REQUIRE_OK(vram_free(allocation));
}

void load_stream(uint64_t load, const uint8_t *data, uint64_t bytes) {
  int ends[2] = {-1, -1};
  REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  std::thread sender([&] {
    for (uint64_t done = 0; done < bytes;) {
      const ssize_t sent = ::send(ends[0], data + done, bytes - done, MSG_NOSIGNAL);
      REQUIRE(sent > 0);
      done += static_cast<uint64_t>(sent);
    }
  });
  const uint32_t slots[] = {5, 1, 6, 2};
  uint64_t received = 0;
  for (uint64_t done = 0; done < bytes; done += received) {
    REQUIRE_OK(vram_load_socket(load, ends[1], bytes - done, 20, slots, 4, &received));
  }
  sender.join();
  (void)close(ends[0]);
  (void)close(ends[1]);
}

}  // namespace

TEST("a long file and a long stream get both digests, wherever their first and last groups begin and end") {
  const Session session;
  for (const uint64_t bytes : {kBytes, 9 * kMiB, 9 * kMiB + VRAM_GROUP_BYTES, 9 * kMiB + VRAM_GROUP_BYTES - 1}) {
    const std::vector<uint8_t> data = content(bytes);
    const ModelFile file(data);
    for (const uint64_t pushed : std::vector<uint64_t>{0, 1, VRAM_GROUP_BYTES, VRAM_GROUP_BYTES + 4096}) {
      const uint64_t rest = data.size() - pushed;
      check_load(session, data, pushed,
                 [&](uint64_t load) { REQUIRE_OK(load_whole(load, file.file(), pushed, rest)); });
      check_load(session, data, pushed, [&](uint64_t load) { load_stream(load, data.data() + pushed, rest); });
    }
  }
}

TEST("one thread makes both digests of a long file if the host cannot start another one") {
  const Session session;
  const std::vector<uint8_t> data = content(kBytes);
  const ModelFile file(data);
  check_load(session, data, 0, [&](uint64_t load) {
    const NoNewThreads no_threads;
    REQUIRE_OK(load_whole(load, file.file(), 0, data.size()));
  });
}

}  // namespace test
