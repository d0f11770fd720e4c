/**
 * The device memory that queued operations access. The streams of a device run at the same time, so two of them may use
 * the same bytes only if the host waits in between. A GPU does not report a missing wait; the simulator does.
 */
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <vector>

namespace cuda_sim {

class Stream;

struct Access {
  uint64_t address;
  uint64_t bytes;
  bool writes;
};

class PendingAccesses {
 public:
  /** The operation is pending as long as its ticket exists. */
  using Ticket = std::shared_ptr<const void>;

  /**
   * Adds an operation of a stream. Returns null if a pending operation of another stream accesses the same bytes, and one
   * of the two writes them.
   */
  Ticket add(const Stream &stream, std::vector<Access> accesses);

 private:
  struct Operation {
    const Stream *stream;
    std::vector<Access> accesses;
  };

  std::mutex mutex_;
  std::list<Operation> pending_;
};

}  // namespace cuda_sim
