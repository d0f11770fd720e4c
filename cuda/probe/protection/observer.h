/** The parent: imports the memory of each child, and reads it after the child has ended. */
#pragma once

#include <string>

#include "../driver.h"

namespace probe {

class Observer {
 public:
  /** Its children run this program with the same driver. */
  explicit Observer(const char *driver_path);

  /** Runs an attempt in a child, and prints what became of its memory. */
  void run(const std::string &name);

 private:
  void import(int descriptor);
  void write_as_importer(int socket);
  std::string observe();
  void discard(int descriptor);

  const char *const driver_path_;
  Driver driver_;
  Memory memory_;
  CUstream stream_ = nullptr;
  void *bytes_ = nullptr;
};

/** The child's side. False if the parent has ended. */
bool send_descriptor(int socket, int descriptor);

}  // namespace probe
