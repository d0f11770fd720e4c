/** Memory shared by several processes: owners and readers that are killed, restarted, or that write. */
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "harness.h"
#include "process.h"
#include "session.h"
#include "sharing_process.h"
#include "simulator.h"

namespace test {
namespace {

std::string ask_for_digest(const PeerProcess &adopter) {
  REQUIRE(send(adopter.socket().get(), "?", 1, MSG_NOSIGNAL) == 1);
  return receive(adopter.socket()).bytes;
}

}  // namespace

TEST("a reader's digest is unchanged while and after the owner is killed") {
  const Session session;
  const size_t descriptors_before = open_descriptors();
  {
    PeerProcess owner(kOwnerRole);
    SharedShard shard = receive_shard(owner.socket());
    const uint64_t adopted = adopt_shard(session.driver(), shard);
    shard.received.descriptors.clear();

    std::atomic<int> digests{0};
    std::atomic<bool> stop{false};
    std::thread reader([&] {
      while (!stop || digests < 3) {
        CHECK(device_tree_digest(adopted) == shard.tree_digest);
        ++digests;
      }
    });
    while (digests == 0) std::this_thread::yield();
    owner.kill();
    stop = true;
    reader.join();
    CHECK(device_tree_digest(adopted) == shard.tree_digest);
    REQUIRE_OK(vram_free(adopted));
  }
  if (is_simulated()) CHECK(open_descriptors() == descriptors_before);
}

TEST("descriptors alone keep memory after its owner was killed, and a new owner adopts it with an equal digest") {
  PeerProcess owner(kOwnerRole);
  const SharedShard kept = receive_shard(owner.socket());
  CHECK(kept.received.descriptors.size() == 6);
  owner.kill();

  PeerProcess first(kAdopterRole);
  forward_shard(first.socket(), kept);
  CHECK(ask_for_digest(first) == kept.tree_digest);
  first.kill();

  PeerProcess second(kAdopterRole), third(kAdopterRole);
  for (const PeerProcess *each : {&second, &third}) forward_shard(each->socket(), kept);
  CHECK(ask_for_digest(second) == kept.tree_digest);
  CHECK(second.finish() == 0);
  CHECK(ask_for_digest(third) == kept.tree_digest);
  CHECK(third.finish() == 0);
}

TEST("altered memory is found by the next digest, in every process that has it") {
  const Simulator simulator;
  PeerProcess owner(kOwnerRole), third(kAdopterRole);
  const SharedShard kept = receive_shard(owner.socket());
  owner.kill();
  forward_shard(third.socket(), kept);
  CHECK(ask_for_digest(third) == kept.tree_digest);
  const Session session;
  const uint64_t adopted = adopt_shard(session.driver(), kept);
  REQUIRE(pwrite(kept.received.descriptors[5].get(), "x", 1, 4096) == 1);
  CHECK(ask_for_digest(third) != kept.tree_digest);
  CHECK(device_tree_digest(adopted) == ask_for_digest(third));
  CHECK(third.finish() == 0);
}

TEST("a killed reader changes nothing for the owner") {
  const Session session;
  PeerProcess owner(kOwnerRole);
  const SharedShard shard = receive_shard(owner.socket());
  const uint64_t free_before = session.info(0).free_bytes;
  const uint64_t adopted = adopt_shard(session.driver(), shard);
  // The simulator charges imported memory to each process. A GPU charges it once.
  if (is_simulated()) CHECK(session.info(0).free_bytes == free_before - 6 * kPartBytes);
  for (int i = 0; i < 3; ++i) {
    PeerProcess reader(kAdopterRole);
    forward_shard(reader.socket(), shard);
    CHECK(ask_for_digest(reader) == shard.tree_digest);
    reader.kill();
    CHECK(device_tree_digest(adopted) == shard.tree_digest);
  }
  CHECK(owner.finish() == 0);
  // The owner has wiped the memory, because it closed its driver.
  CHECK(device_tree_digest(adopted) != shard.tree_digest);
  REQUIRE_OK(vram_leave(adopted));
  if (is_simulated()) CHECK(session.info(0).free_bytes == free_before);
}

}  // namespace test
