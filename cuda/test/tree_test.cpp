#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string>
#include <vector>

#include "content.h"
#include "harness.h"
#include "session.h"

namespace test {

TEST("host and device digests of every vector equal those of openssl and fsverity") {
  const Session session;
  const std::vector<Vector> vectors = tree_vectors();
  const std::vector<uint8_t> all = content(vectors.back().length);
  for (const Vector &vector : vectors) {
    if (vector.length == 0) continue;
    const std::vector<uint8_t> data(all.begin(), all.begin() + static_cast<ptrdiff_t>(vector.length));
    vram_load_result result = {};
    const uint64_t allocation = session.load(0, data, &result);
    const bool flat = hex(result.flat, sizeof(result.flat)) == vector.sha256;
    const bool tree = hex(result.tree, sizeof(result.tree)) == vector.tree;
    const bool device = device_tree_digest(allocation) == vector.tree;
    if (!flat || !tree || !device) {
      fail(__FILE__, __LINE__,
           std::to_string(vector.length) + " bytes:" + (flat ? "" : " flat") + (tree ? "" : " tree") +
               (device ? "" : " device"));
    }
    REQUIRE_OK(vram_free(allocation));
  }
}

TEST("the digest of no bytes equals that of fsverity for an empty file") {
  const Vector empty = tree_vectors().front();
  REQUIRE(empty.length == 0);
  uint8_t digest[VRAM_DIGEST_BYTES] = {};
  REQUIRE_OK(vram_tree_digest(nullptr, 0, 0, digest));
  CHECK(hex(digest, sizeof(digest)) == empty.tree);
}

TEST("the hashes of ranges equal those of the whole, sealed or not") {
  const Session session;
  const std::vector<uint8_t> data = content(5 * VRAM_GROUP_BYTES + 4096);
  vram_load_result result = {};
  const uint64_t allocation = session.load(0, data, &result);
  uint8_t whole[6 * VRAM_DIGEST_BYTES] = {}, parts[6 * VRAM_DIGEST_BYTES] = {};
  REQUIRE_OK(vram_digest(allocation, 0, data.size(), whole, sizeof(whole)));
  REQUIRE_OK(vram_seal(allocation));
  REQUIRE_OK(vram_digest(allocation, 0, 2 * VRAM_GROUP_BYTES, parts, 64));
  REQUIRE_OK(vram_digest(allocation, 2 * VRAM_GROUP_BYTES, 3 * VRAM_GROUP_BYTES, parts + 64, 96));
  REQUIRE_OK(vram_digest(allocation, 5 * VRAM_GROUP_BYTES, 4096, parts + 160, 32));
  CHECK(std::equal(std::begin(whole), std::end(whole), std::begin(parts)));
}

TEST("a shard of several segments of the device has the digest that the host computes") {
  if (std::getenv("VRAM_TEST_QUICK") != nullptr) SKIP("VRAM_TEST_QUICK is set");
  const Session session;
  const uint64_t bytes = 1300 * kMiB + 12345;
  const uint64_t allocation = session.alloc(0, bytes);
  const uint64_t load = session.open_load(allocation, VRAM_LOAD_TREE);
  const std::vector<uint8_t> data = content(VRAM_STAGING_SLOT_BYTES);
  for (uint64_t done = 0; done < bytes; done += VRAM_STAGING_SLOT_BYTES) {
    std::copy(data.begin(), data.end(), session.slot(0));
    std::memcpy(session.slot(0), &done, sizeof(done));  // no two segments are equal
    REQUIRE_OK(vram_load_push(load, 0, std::min<uint64_t>(VRAM_STAGING_SLOT_BYTES, bytes - done)));
  }
  vram_load_result result = {};
  REQUIRE_OK(vram_load_finish(load, &result));
  CHECK(device_tree_digest(allocation) == hex(result.tree, sizeof(result.tree)));
  REQUIRE_OK(vram_load_close(load));
}

TEST("a flipped bit changes the hash of its group only") {
  const Session session;
  const std::vector<uint8_t> data = content(3 * VRAM_GROUP_BYTES + 10);
  vram_load_result result = {};
  const uint64_t allocation = session.load(0, data, &result);
  uint8_t before[4 * VRAM_DIGEST_BYTES] = {}, after[4 * VRAM_DIGEST_BYTES] = {};
  REQUIRE_OK(vram_digest(allocation, 0, data.size(), before, sizeof(before)));
  for (const uint64_t offset :
       {uint64_t{0}, uint64_t{VRAM_GROUP_BYTES - 1}, uint64_t{VRAM_GROUP_BYTES}, data.size() - 1}) {
    const uint8_t flipped = data[offset] ^ 0x10;
    REQUIRE_OK(vram_write(allocation, offset, &flipped, 1));
    REQUIRE_OK(vram_digest(allocation, 0, data.size(), after, sizeof(after)));
    for (uint64_t group = 0; group < 4; ++group) {
      const bool same = std::equal(before + group * 32, before + group * 32 + 32, after + group * 32);
      CHECK(same == (group != offset / VRAM_GROUP_BYTES));
    }
    REQUIRE_OK(vram_write(allocation, offset, &data[offset], 1));
  }
}

}  // namespace test
