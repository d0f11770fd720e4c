/** Loads from sockets, and the thread that reads ahead. */
#include <arpa/inet.h>
#include <netinet/in.h>
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
  /** Over TCP. */
  static Connection over_tcp() {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    auto *const any = reinterpret_cast<sockaddr *>(&address);
    REQUIRE(bind(listener, any, length) == 0 && listen(listener, 1) == 0);
    REQUIRE(getsockname(listener, any, &length) == 0);
    const int sender = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(connect(sender, any, length) == 0);
    const int receiver = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    (void)close(listener);
    return {sender, receiver};
  }
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

  /** How many bytes wake a reader of the receiver. */
  int low_water_bytes() const {
    int bytes = 0;
    socklen_t length = sizeof(bytes);
    REQUIRE(getsockopt(receiver(), SOL_SOCKET, SO_RCVLOWAT, &bytes, &length) == 0);
    return bytes;
  }

 private:
  Connection(int sender, int receiver) : ends_{sender, receiver} {}

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

TEST("on a TCP connection the bytes that came by the deadline are taken, and each byte wakes the next reader") {
  const Session session;
  const std::vector<uint8_t> data = content(3 * kMiB + 99);
  const uint64_t allocation = session.alloc(0, data.size());
  const uint64_t load = session.open_load(allocation);
  Connection connection = Connection::over_tcp();
  uint64_t done = 0, received = 0;
  for (const uint64_t sent : {uint64_t{1}, uint64_t{70000}}) {
    connection.send(data.data() + done, sent);
    REQUIRE_OK(load_socket(load, connection, data.size() - done, &received));
    CHECK(received == sent);
    CHECK(connection.low_water_bytes() == 1);
    done += sent;
  }
  std::thread sender([&] {
    connection.send(data.data() + done, data.size() - 10 - done);
    connection.close_sender();
  });
  while (done < data.size() - 10) {
    REQUIRE_OK(load_socket(load, connection, data.size() - done, &received));
    done += received;
  }
  sender.join();
  CHECK_STATUS(VRAM_SOCKET_CLOSED, load_socket(load, connection, data.size() - done, &received));
  CHECK(connection.low_water_bytes() == 1);
  session.push_all(load, {data.end() - 10, data.end()}, 10, 0);
  REQUIRE_OK(vram_load_close(load));
  CHECK(session.read(allocation, 0, data.size()) == data);
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
