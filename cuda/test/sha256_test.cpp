#include "../hash/sha256.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "../hash/engine.h"
#include "content.h"
#include "harness.h"

namespace test {

TEST("SHA-256 gives the digests of the FIPS 180 examples") {
  const struct {
    const char *message;
    const char *digest;
  } rows[] = {
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
  };
  for (const auto &row : rows) {
    vram::Sha256 hash;
    hash.update(row.message, std::strlen(row.message));
    uint8_t digest[vram::kDigestBytes];
    hash.finish(digest);
    CHECK(hex(digest, sizeof(digest)) == row.digest);
  }
}

TEST("a message split anywhere, and a copied state, give the same digest") {
  const std::vector<uint8_t> data = content(300);
  for (size_t length = 0; length <= data.size(); length += 7) {
    vram::Sha256 whole;
    whole.update(data.data(), length);
    uint8_t expected[vram::kDigestBytes];
    whole.finish(expected);
    for (size_t cut = 0; cut <= length; cut += 5) {
      vram::Sha256 first;
      first.update(data.data(), cut);
      vram::Sha256 second = first;
      second.update(data.data() + cut, length - cut);
      uint8_t digest[vram::kDigestBytes];
      second.finish(digest);
      CHECK(std::memcmp(digest, expected, sizeof(digest)) == 0);
    }
  }
}

/** Compares an engine with the portable one, for messages and for any number of blocks. */
void check_engine(const vram::HashEngine *engine) {
  if (engine == nullptr) SKIP("this CPU lacks the instructions");
  const vram::HashEngine &portable = vram::portable_engine();
  const std::vector<uint8_t> data = content(35 * vram::kBlockBytes + 1);
  for (uint64_t blocks = 0; blocks <= 35; ++blocks) {
    // An odd address: no engine may need alignment.
    std::vector<uint8_t> a(blocks * vram::kDigestBytes), b(a.size());
    engine->hash_whole_blocks(data.data() + 1, blocks, a.data());
    portable.hash_whole_blocks(data.data() + 1, blocks, b.data());
    CHECK(a == b);
  }
  uint32_t a[8] = {1, 2, 3, 4, 5, 6, 7, 8}, b[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  engine->compress(a, data.data(), 9);
  portable.compress(b, data.data(), 9);
  CHECK(std::memcmp(a, b, sizeof(a)) == 0);
  for (const uint64_t blocks : {3, 16, 35}) {
    std::vector<uint8_t> c(blocks * vram::kDigestBytes), d(c.size());
    engine->compress_and_hash_blocks(a, data.data() + 1, blocks, c.data());
    portable.compress_and_hash_blocks(b, data.data() + 1, blocks, d.data());
    CHECK(std::memcmp(a, b, sizeof(a)) == 0 && c == d);
  }
}

TEST("the CPU's SHA instructions and portable code agree") {
  check_engine(vram::x86_engine());
}

TEST("AVX-512 and portable code agree") {
  check_engine(vram::avx512_engine());
  check_engine(vram::avx512_lanes_engine());
}

TEST("hashing blocks and message in one pass gives both digests") {
  const std::vector<uint8_t> data = content(9 * vram::kBlockBytes + 70);
  // Bytes of the message before the blocks: none, whole chunks, and part of a chunk.
  for (const size_t ahead : {size_t{0}, size_t{64}, size_t{70}}) {
    for (uint64_t blocks = 0; blocks <= 9; ++blocks) {
      const size_t bytes = blocks * vram::kBlockBytes;
      std::vector<uint8_t> a(blocks * vram::kDigestBytes), b(a.size());
      vram::Sha256 together, apart;
      together.update(data.data(), ahead);
      together.update_and_hash_blocks(data.data() + ahead, blocks, a.data());
      apart.update(data.data(), ahead + bytes);
      vram::hash_blocks(data.data() + ahead, bytes, b.data());
      uint8_t digest[vram::kDigestBytes], expected[vram::kDigestBytes];
      together.finish(digest);
      apart.finish(expected);
      CHECK(a == b);
      CHECK(std::memcmp(digest, expected, sizeof(digest)) == 0);
    }
  }
}

TEST("a short last block is padded with zeros") {
  const std::vector<uint8_t> data = content(2 * vram::kBlockBytes);
  for (const size_t length : {size_t{1}, size_t{4095}, size_t{4097}, size_t{8191}}) {
    std::vector<uint8_t> padded = data;
    std::fill(padded.begin() + static_cast<ptrdiff_t>(length), padded.end(), uint8_t{0});
    uint8_t a[2 * vram::kDigestBytes] = {}, b[2 * vram::kDigestBytes] = {};
    const uint64_t blocks = vram::block_count(length);
    vram::hash_blocks(data.data(), length, a);
    vram::hash_blocks(padded.data(), blocks * vram::kBlockBytes, b);
    CHECK(std::memcmp(a, b, blocks * vram::kDigestBytes) == 0);
  }
}

}  // namespace test
