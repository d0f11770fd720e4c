#include "sharing_process.h"

#include <sys/socket.h>
#include <unistd.h>

#include <sstream>

#include "content.h"
#include "harness.h"
#include "process.h"
#include "session.h"

namespace test {

SharedShard receive_shard(const Descriptor &socket) {
  SharedShard shard = {};
  shard.received = receive(socket);
  std::istringstream line(shard.received.bytes);
  line >> shard.bytes >> shard.part_bytes >> shard.tree_digest;
  REQUIRE(!line.fail());
  return shard;
}

void forward_shard(const Descriptor &socket, const SharedShard &shard) {
  const std::string &line = shard.received.bytes;
  const std::vector<int32_t> numbers = shard.received.numbers();
  uint64_t sent = 0;
  REQUIRE_OK(
      vram_send(socket.get(), line.data(), line.size(), numbers.data(), static_cast<uint32_t>(numbers.size()), &sent));
  REQUIRE(sent == line.size());
}

uint64_t adopt_shard(uint64_t driver, const SharedShard &shard) {
  const std::vector<int32_t> numbers = shard.received.numbers();
  uint64_t adopted = 0;
  REQUIRE_OK(vram_adopt(driver, 0, shard.bytes, shard.part_bytes, numbers.data(), static_cast<uint32_t>(numbers.size()),
                        &adopted));
  return adopted;
}

int run_owner() {
  const Descriptor socket(kPeerSocket);
  const Session session;
  const uint64_t allocation = session.seal_exportable(0, content(5 * kPartBytes + 4097));
  vram_allocation_info info = {};
  REQUIRE_OK(vram_allocation_get_info(allocation, &info));
  const std::string line =
      std::to_string(info.bytes) + " " + std::to_string(info.part_bytes) + " " + device_tree_digest(allocation) + "\n";
  uint64_t sent = 0;
  REQUIRE_OK(vram_hand_over(allocation, socket.get(), line.data(), line.size(), &sent));
  while (!receive(socket).bytes.empty()) continue;
  return 0;
}

int run_adopter() {
  const Descriptor socket(kPeerSocket);
  const Session session;
  const uint64_t adopted = adopt_shard(session.driver(), receive_shard(socket));
  while (!receive(socket).bytes.empty()) {
    const std::string digest = device_tree_digest(adopted);
    REQUIRE(send(socket.get(), digest.data(), digest.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(digest.size()));
  }
  REQUIRE_OK(vram_leave(adopted));
  return 0;
}

}  // namespace test
