/** The test vectors in test/vectors/tree.tsv: known bytes and their digests from independent tools. */
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace test {

/** The first `bytes` bytes of the sequence that the vectors digest. */
std::vector<uint8_t> content(uint64_t bytes);

std::string hex(const uint8_t *data, size_t bytes);

struct Vector {
  uint64_t length;
  std::string sha256;
  std::string tree;
};

/** The rows of tree.tsv, with VRAM_TEST_QUICK only those up to 3 MiB. VRAM_TEST_VECTORS can name another file. */
std::vector<Vector> tree_vectors();

}  // namespace test
