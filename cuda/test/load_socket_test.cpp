/** Loads from sockets, and the thread that reads ahead. */
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

/** A connected pair of stream sockets. */
class Connection {
 public:
  Connection() { REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_) == 0); }
  ~Connection() {
    close_sender();
    (void)close(ends_[1]);
  }
  Connection(const Connection &) = delete;
  Connection &operator=(const Connection &) = delete;

  int receiver() const { return ends_[1]; }
  void send(const uint8_t *data, uint64_t bytes) const {
    for (uint64_t done = 0; done < bytes;) {
      const ssize_t sent = ::send(ends_[0], data + done, bytes - done, MSG_NOSIGNAL);
      REQUIRE(sent > 0);
      done += static_cast<uint64_t>(sent);
    }
  }
  void close_sender() {
    if (ends_[0] >= 0) (void)close(ends_[0]);
    ends_[0] = -1;
  }

 private:
  int ends_[2] = {-1, -1};
};

const std::vector<uint32_t> kThreeSlots = {5, 1, 6};

vram_status load_socket(uint64_t load, const Connection &connection, uint64_t bytes, uint64_t *out_received) {
  constexpr uint32_t kWaitMs = 20;
  return vram_load_socket(load, connection.receiver(), bytes, kWaitMs, kThreeSlots.data(), 3, out_received);
}

}  // namespace

TEST("a socket is read until it is empty for wait_ms, and never past the requested length") {
  const Session session;
  const std::vector<uint8_t> data = content(4 * kMiB + 99);
  vram_load_result expected = {}, result = {};
  (void)session.load(0, data, &expected);
  const uint64_t allocation = session.alloc(0, data.size());
  const uint64_t load = session.open_load(allocation);
  const Connection connection;
  uint64_t received = 0;
  REQUIRE_OK(load_socket(load, connection, data.size(), &received));
  CHECK(received == 0);
  connection.send(data.data(), 1000);
  REQUIRE_OK(load_socket(load, connection, data.size(), &received));
  CHECK(received == 1000);

  std::thread sender([&] { connection.send(data.data() + 1000, data.size() - 1000); });
  for (uint64_t done = 1000; done < data.size(); done += received) {
    REQUIRE_OK(load_socket(load, connection, data.size() - done, &received));
  }
  sender.join();
  REQUIRE_OK(vram_load_finish(load, &result));
  CHECK(std::memcmp(&result, &expected, sizeof(result)) == 0);
  REQUIRE_OK(vram_load_close(load));
  CHECK(session.read(allocation, 0, data.size()) == data);

  const uint64_t part = session.open_load(session.alloc(0, data.size()));
  connection.send(data.data(), 1000);
  REQUIRE_OK(load_socket(part, connection, 999, &received));
  CHECK(received == 999);
}

TEST("the last bytes before a connection ends are loaded, and the load can continue") {
  const Session session;
  const std::vector<uint8_t> data = content(500);
  const uint64_t load = session.open_load(session.alloc(0, kMiB));
  Connection connection;
  connection.send(data.data(), data.size());
  connection.close_sender();
  uint64_t received = 0;
  REQUIRE_OK(load_socket(load, connection, kMiB, &received));
  CHECK(received == data.size());
  CHECK_STATUS(VRAM_SOCKET_CLOSED, load_socket(load, connection, kMiB - received, &received));
  CHECK(received == data.size());
  Connection next;
  next.send(data.data(), 100);
  REQUIRE_OK(load_socket(load, next, kMiB - data.size(), &received));
  CHECK(received == 100);
  REQUIRE_OK(vram_load_push(load, 0, 1));
  CHECK_STATUS(VRAM_OK, vram_load_close(load));
}

TEST("a load fails with its own status if the host cannot start the thread that reads ahead") {
  const Session session;
  const std::vector<uint8_t> data = content(1000);
  const Connection connection;
  connection.send(data.data(), data.size());
  const uint64_t allocation = session.alloc(0, data.size());
  const uint64_t load = session.open_load(allocation);
  uint64_t received = 0;
  {
    const NoNewThreads no_threads;
    CHECK_STATUS(VRAM_HOST_OUT_OF_THREADS, load_socket(load, connection, data.size(), &received));
  }
  CHECK_STATUS(VRAM_HOST_OUT_OF_THREADS, load_socket(load, connection, data.size(), &received));
  CHECK_STATUS(VRAM_OK, vram_load_close(load));
  const uint64_t other = session.open_load(allocation);
  CHECK_STATUS(VRAM_OK, load_socket(other, connection, data.size(), &received));
}

TEST("the threads that read ahead need no memory") {
  const Session session;
  const std::vector<uint8_t> data = content(kMiB);
  const ModelFile file(data);
  const Connection connection;
  connection.send(data.data(), 1000);
  uint64_t load = 0, received = 0;
  REQUIRE_OK(vram_load_open_host(session.driver(), data.size(), VRAM_LOAD_TREE, &load));
  const NoMemoryForNewThreads no_memory;
  CHECK_STATUS(VRAM_OK, load_socket(load, connection, data.size(), &received));
  CHECK(received == 1000);
  CHECK_STATUS(VRAM_OK, load_whole(load, file.file(), received, data.size() - received));
  CHECK_STATUS(VRAM_OK, vram_load_close(load));
}

}  // namespace test
