/** The little grammar that the simulator's settings share: lists, and numbers in them. */
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace cuda_sim {

/** The parts between separators; none of an empty text. */
std::vector<std::string_view> split(std::string_view text, char separator);

/** A decimal number without sign, space or leftover; nothing for anything else, or one past 2^64. */
std::optional<uint64_t> parse_number(std::string_view text);

/** "24GiB", "512MiB", "4KiB", "1048576": bytes. */
std::optional<uint64_t> parse_size(std::string_view text);

}  // namespace cuda_sim
