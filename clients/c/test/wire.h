/** The wire format of the fake worker, by code of its own, and random changes of frames. */
#pragma once

#include <map>
#include <string>

namespace test {

using Fields = std::map<std::string, std::string>;

/** A frame: the length and the lines. */
std::string encode(const std::string &lines);

/** The lines of a frame. Ends the test if one is invalid or has the key of another. */
Fields parse(std::string lines);

/** The text with a few bytes changed, removed or inserted. */
std::string mutated(std::string text, unsigned seed);

}  // namespace test
