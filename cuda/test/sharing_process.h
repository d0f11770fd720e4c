/** The other processes of sharing_test.cpp: this program in another role, connected by kPeerSocket. */
#pragma once

#include <string>

#include "descriptors.h"

namespace test {

constexpr char kOwnerRole[] = "--owner";
constexpr char kAdopterRole[] = "--adopter";

/** Exported memory on its way between processes: a line with its layout and digest, and its descriptors. */
struct SharedShard {
  uint64_t bytes;
  uint64_t part_bytes;
  std::string tree_digest;
  Received received;
};

/** Receives the line that an owner sends, with its descriptors. */
SharedShard receive_shard(const Descriptor &socket);
/** Sends the same line and descriptors to another process. */
void forward_shard(const Descriptor &socket, const SharedShard &shard);
/** Adopts the shard on device 0. Ends the test if it fails. */
uint64_t adopt_shard(uint64_t driver, const SharedShard &shard);

/** Seals a shard on device 0, hands it over, and exits when its peer closes the socket. Returns the exit status. */
int run_owner();
/** Adopts a shard, then answers each byte with a digest of it, until its peer closes the socket. */
int run_adopter();

}  // namespace test
