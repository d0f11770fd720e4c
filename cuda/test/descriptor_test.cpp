/** vram_send and vram_receive. */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "descriptors.h"
#include "harness.h"

namespace test {
namespace {

/** Descriptors of a file, all alike. */
std::vector<int32_t> copies(const Descriptor &file, size_t count) {
  return std::vector<int32_t>(count, file.get());
}

vram_status send_all(const SocketPair &sockets, const std::string &frame, const std::vector<int32_t> &numbers) {
  uint64_t sent = 0;
  const vram_status status = vram_send(sockets.ours.get(), frame.data(), frame.size(), numbers.data(),
                                       static_cast<uint32_t>(numbers.size()), &sent);
  if (status == VRAM_OK) CHECK(sent == frame.size());
  return status;
}

/** Receives with room for `capacity` descriptors, and closes them. */
vram_status receive_up_to(const SocketPair &sockets, uint32_t capacity, vram_received *out_received) {
  char buffer[100];
  int32_t numbers[VRAM_MAX_DESCRIPTORS];
  const vram_status status = vram_receive(sockets.peers.get(), buffer, sizeof(buffer), numbers, capacity, out_received);
  for (uint32_t i = 0; status == VRAM_OK && i < out_received->descriptor_count; ++i) {
    CHECK((fcntl(numbers[i], F_GETFD) & FD_CLOEXEC) != 0);
    close(numbers[i]);
  }
  return status;
}

}  // namespace

TEST("descriptors arrive once, up to the limit of a message and of the receiver") {
  const Descriptor file(open("/dev/null", O_RDWR | O_CLOEXEC));
  const SocketPair sockets;
  const size_t descriptors_before = open_descriptors();
  vram_received received = {};
  const struct {
    uint32_t sent, capacity, expected;
  } cases[] = {{0, 0, 0}, {0, 5, 0}, {1, 1, 1}, {3, 2, 2}, {2, 0, 0}, {253, 253, 253}, {253, 64, 64}};
  for (const auto &each : cases) {
    REQUIRE_OK(send_all(sockets, "frame", copies(file, each.sent)));
    REQUIRE_OK(receive_up_to(sockets, each.capacity, &received));
    CHECK(received.bytes == 5 && received.descriptor_count == each.expected);
    CHECK(received.truncated == (each.sent > each.capacity ? 1u : 0u));
    CHECK_STATUS(VRAM_WOULD_BLOCK, receive_up_to(sockets, 5, &received));
  }
  CHECK(open_descriptors() == descriptors_before);
}

TEST("one receive never returns the descriptors of two messages") {
  const Descriptor file(open("/dev/null", O_RDWR | O_CLOEXEC));
  const SocketPair sockets;
  for (const uint32_t count : {2u, 3u}) REQUIRE_OK(send_all(sockets, "frame", copies(file, count)));
  vram_received received = {};
  for (const uint32_t count : {2u, 3u}) {
    REQUIRE_OK(receive_up_to(sockets, 10, &received));
    CHECK(received.bytes == 5 && received.descriptor_count == count);
  }
}

TEST("invalid arguments and closed sockets have the status that vram_export.h names") {
  SocketPair sockets;
  const int32_t numbers[VRAM_MAX_DESCRIPTORS + 1] = {};
  int32_t out_numbers[1];
  char buffer[1];
  uint64_t sent = 0;
  vram_received received = {};
  const int ours = sockets.ours.get();
  CHECK_STATUS(VRAM_NULL_ARGUMENT, vram_send(ours, nullptr, 1, numbers, 1, &sent));
  CHECK_STATUS(VRAM_NULL_ARGUMENT, vram_send(ours, "x", 1, nullptr, 1, &sent));
  CHECK_STATUS(VRAM_NULL_ARGUMENT, vram_send(ours, "x", 1, numbers, 1, nullptr));
  CHECK_STATUS(VRAM_ZERO_LENGTH, vram_send(ours, "x", 0, nullptr, 0, &sent));
  CHECK_STATUS(VRAM_OUT_OF_BOUNDS, vram_send(ours, "x", 1, numbers, VRAM_MAX_DESCRIPTORS + 1, &sent));
  CHECK_STATUS(VRAM_NULL_ARGUMENT, vram_receive(ours, nullptr, 1, out_numbers, 1, &received));
  CHECK_STATUS(VRAM_NULL_ARGUMENT, vram_receive(ours, buffer, 1, nullptr, 1, &received));
  CHECK_STATUS(VRAM_NULL_ARGUMENT, vram_receive(ours, buffer, 1, out_numbers, 1, nullptr));
  CHECK_STATUS(VRAM_ZERO_LENGTH, vram_receive(ours, buffer, 0, out_numbers, 1, &received));
  CHECK_STATUS(VRAM_OUT_OF_BOUNDS, vram_receive(ours, buffer, 1, out_numbers, VRAM_MAX_DESCRIPTORS + 1, &received));
  CHECK_STATUS(VRAM_SOCKET_CLOSED, vram_receive(-1, buffer, 1, nullptr, 0, &received));
  CHECK_STATUS(VRAM_SOCKET_CLOSED, vram_send(-1, "x", 1, nullptr, 0, &sent));
  const int32_t closed = 1 << 20;
  CHECK_STATUS(VRAM_SOCKET_CLOSED, vram_send(ours, "x", 1, &closed, 1, &sent));
  CHECK_STATUS(VRAM_WOULD_BLOCK, vram_receive(ours, buffer, 1, out_numbers, 1, &received));
  sockets.peers.reset();
  CHECK_STATUS(VRAM_SOCKET_CLOSED, vram_receive(ours, buffer, 1, out_numbers, 1, &received));
  CHECK_STATUS(VRAM_SOCKET_CLOSED, vram_send(ours, "x", 1, nullptr, 0, &sent));
  CHECK(sent == 0 && received.bytes == 0);
}

}  // namespace test
