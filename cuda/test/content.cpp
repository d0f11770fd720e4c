#include "content.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "harness.h"

namespace test {

std::vector<uint8_t> content(uint64_t bytes) {
  std::vector<uint8_t> data(bytes);
  uint32_t x = 1;
  for (uint8_t &byte : data) {
    x = x * 1664525u + 1013904223u;
    byte = static_cast<uint8_t>(x >> 24);
  }
  return data;
}

std::string hex(const uint8_t *data, size_t bytes) {
  static const char digits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < bytes; ++i) {
    text += digits[data[i] >> 4];
    text += digits[data[i] & 15];
  }
  return text;
}

std::vector<Vector> tree_vectors() {
  constexpr uint64_t kQuickBytes = uint64_t{3} << 20;
  const char *path = std::getenv("VRAM_TEST_VECTORS");
  std::ifstream file(path != nullptr ? path : VRAM_TEST_VECTORS_PATH);
  std::vector<Vector> vectors;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    Vector vector = {};
    std::istringstream(line) >> vector.length >> vector.sha256 >> vector.tree;
    if (std::getenv("VRAM_TEST_QUICK") == nullptr || vector.length <= kQuickBytes) vectors.push_back(vector);
  }
  REQUIRE(vectors.size() >= 30);
  return vectors;
}

}  // namespace test
