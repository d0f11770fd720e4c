/** Frames of the wire format: a 4-byte little-endian length, then UTF-8 lines KEY=VALUE, the first of which is `type`.
 */
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "failure.h"

namespace vram_attach {

constexpr size_t kLengthBytes = 4;
constexpr size_t kMaxFrameBytes = size_t{1} << 20;

class Frame {
 public:
  explicit Frame(std::string_view type) : fields_{{"type", std::string(type)}} {}

  /** Parses the lines of a frame, without its length. Throws VRAM_ATTACH_PROTOCOL_ERROR. */
  static Frame parse(std::string_view lines);

  /** Appends a line. Throws VRAM_ATTACH_INVALID_ARGUMENT if the value is not one line. */
  Frame &add(std::string_view key, std::string_view value);
  Frame &add(std::string_view key, uint64_t value) { return add(key, std::to_string(value)); }
  /** Appends a line unless the value is null. */
  Frame &add_optional(std::string_view key, const char *value);

  /** The frame with its length. Throws VRAM_ATTACH_INVALID_ARGUMENT if it is too long. */
  std::string encode() const;

  const std::string &type() const { return fields_.front().second; }
  /** The value of the first line with a key; empty if there is none. */
  std::string get(std::string_view key) const;
  /** Throws VRAM_ATTACH_PROTOCOL_ERROR if the value is missing, empty or not a number. */
  std::string require(std::string_view key) const;
  uint64_t require_number(std::string_view key) const;
  /** The values of all lines with a key. */
  std::vector<std::string> all(std::string_view key) const;

 private:
  Frame() = default;

  std::vector<std::pair<std::string, std::string>> fields_;
};

/** Parses a decimal number. Throws VRAM_ATTACH_PROTOCOL_ERROR. */
uint64_t parse_number(std::string_view text);

/** Splits a value at single spaces. The last of `count` words takes the rest. Throws VRAM_ATTACH_PROTOCOL_ERROR. */
std::vector<std::string> split_words(const std::string &text, size_t count);

}  // namespace vram_attach
