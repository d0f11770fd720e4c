#include "wire.h"

#include <random>

#include "../../../cuda/test/harness.h"

namespace test {

std::string encode(const std::string &lines) {
  std::string frame(4, 0);
  for (size_t i = 0; i < 4; ++i) frame[i] = static_cast<char>(lines.size() >> (8 * i) & 0xff);
  return frame + lines;
}

Fields parse(std::string lines) {
  Fields fields;
  while (!lines.empty()) {
    const size_t end = lines.find('\n'), equals = lines.find('=');
    REQUIRE(end != std::string::npos && equals < end);
    REQUIRE(fields.emplace(lines.substr(0, equals), lines.substr(equals + 1, end - equals - 1)).second);
    lines.erase(0, end + 1);
  }
  return fields;
}

std::string mutated(std::string text, unsigned seed) {
  std::mt19937 random(seed);
  constexpr char kBytes[] = {'\0', '\n', '=', ' ', '-', '9', '\x7f', '\xff'};
  for (auto count = 1 + random() % 3; count != 0; --count) {
    // Half of the changes hit the first lines.
    const size_t at = random() % (random() % 2 == 0 ? 24 : text.size());
    const char byte = kBytes[random() % sizeof(kBytes)];
    switch (random() % 4) {
      case 0:
        text[at] = byte;
        break;
      case 1:
        text[at] = static_cast<char>(text[at] ^ static_cast<char>(1 << random() % 8));
        break;
      case 2:
        text.insert(at, 1 + random() % 3, byte);
        break;
      default:
        text.erase(at, 1 + random() % 20);
    }
  }
  return text;
}

}  // namespace test
