#include "frame.h"

#include <charconv>

namespace vram_attach {
namespace {

/** Whether bytes are UTF-8 without overlong forms, surrogates or NUL. */
bool is_text(std::string_view bytes) {
  for (size_t i = 0; i < bytes.size();) {
    const auto at = [&](size_t index) { return static_cast<unsigned char>(bytes[index]); };
    const unsigned char first = at(i);
    const size_t length = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3 : 4;
    if (first == 0 || (first >= 0x80 && first < 0xc2) || first > 0xf4 || i + length > bytes.size()) return false;
    for (size_t k = 1; k < length; ++k) {
      if ((at(i + k) & 0xc0) != 0x80) return false;
    }
    const bool invalid = (first == 0xe0 && at(i + 1) < 0xa0) || (first == 0xed && at(i + 1) > 0x9f) ||
                         (first == 0xf0 && at(i + 1) < 0x90) || (first == 0xf4 && at(i + 1) > 0x8f);
    if (invalid) return false;
    i += length;
  }
  return true;
}

}  // namespace

Frame Frame::parse(std::string_view lines) {
  if (!is_text(lines)) throw protocol_error("a frame is not UTF-8");
  Frame frame;
  while (!lines.empty()) {
    const size_t end = lines.find('\n');
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(end == std::string_view::npos ? lines.size() : end + 1);
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) throw protocol_error("a line of a frame has no \"=\"");
    frame.fields_.emplace_back(line.substr(0, equals), line.substr(equals + 1));
  }
  if (frame.fields_.empty() || frame.fields_.front().first != "type") throw protocol_error("a frame has no type");
  return frame;
}

Frame &Frame::add(std::string_view key, std::string_view value) {
  if (!is_text(value) || value.find('\n') != std::string_view::npos) {
    throw Failure{VRAM_ATTACH_INVALID_ARGUMENT, std::string(key) + " is not one line of UTF-8"};
  }
  fields_.emplace_back(key, value);
  return *this;
}

Frame &Frame::add_optional(std::string_view key, const char *value) {
  return value != nullptr ? add(key, value) : *this;
}

std::string Frame::encode() const {
  std::string encoded(kLengthBytes, 0);
  for (const auto &[key, value] : fields_) encoded += key + "=" + value + "\n";
  const size_t bytes = encoded.size() - kLengthBytes;
  if (bytes > kMaxFrameBytes) throw Failure{VRAM_ATTACH_INVALID_ARGUMENT, "the request is longer than 1 MiB"};
  for (size_t i = 0; i < kLengthBytes; ++i) encoded[i] = static_cast<char>(bytes >> (8 * i) & 0xff);
  return encoded;
}

std::string Frame::get(std::string_view key) const {
  for (const auto &[name, value] : fields_) {
    if (name == key) return value;
  }
  return "";
}

std::string Frame::require(std::string_view key) const {
  std::string value = get(key);
  if (value.empty()) throw protocol_error("a frame \"" + type() + "\" has no " + std::string(key));
  return value;
}

uint64_t Frame::require_number(std::string_view key) const {
  return parse_number(require(key));
}

std::vector<std::string> Frame::all(std::string_view key) const {
  std::vector<std::string> values;
  for (const auto &[name, value] : fields_) {
    if (name == key) values.push_back(value);
  }
  return values;
}

uint64_t parse_number(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw protocol_error("\"" + std::string(text.substr(0, 40)) + "\" is not a number");
  }
  return number;
}

std::vector<std::string> split_words(const std::string &text, size_t count) {
  std::vector<std::string> words;
  size_t start = 0;
  while (words.size() + 1 < count) {
    const size_t space = text.find(' ', start);
    if (space == std::string::npos) throw protocol_error("\"" + text.substr(0, 80) + "\" has too few words");
    words.push_back(text.substr(start, space - start));
    start = space + 1;
  }
  words.push_back(text.substr(start));
  return words;
}

}  // namespace vram_attach
