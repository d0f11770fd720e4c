/** The controls of the simulated driver that libvram_attach has loaded into this process; see cuda/sim/control.h. */
#pragma once

#include <cstdint>
#include <string>

namespace test {

/** The destructor resets all controls. */
class Simulator {
 public:
  Simulator();
  ~Simulator();

  void set(const char *setting, const std::string &value) const;
  void reset() const;
  uint64_t calls(const char *function) const;
  uint64_t live(const char *creator) const;
};

}  // namespace test
