/** Parsers for the lists, numbers and sizes in the simulator's settings. */
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace cuda_sim {

/** Splits the text at each separator. An empty text has no parts. */
std::vector<std::string_view> split(std::string_view text, char separator);

/** Parses an unsigned decimal number below 2^64. Empty if the text has any other character. */
std::optional<uint64_t> parse_number(std::string_view text);

/** Parses a size in bytes, such as "24GiB", "512MiB", "4KiB" or "1048576". */
std::optional<uint64_t> parse_size(std::string_view text);

}  // namespace cuda_sim
