/** Streams and events. A stream is a queue of operations with its own thread. An event marks a position in a queue. */
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "device.h"

namespace cuda_sim {

class Stream : public std::enable_shared_from_this<Stream> {
 public:
  explicit Stream(Device &device) : device_(device) {}

  Device &device() const { return device_; }

  /**
   * Queues a device operation. An error that it returns becomes the sticky error of the context. The stream skips the
   * operation if the context already has a sticky error. Returns the number of the operation, for wait().
   */
  uint64_t submit(std::function<CUresult()> operation);

  /** Queues an operation that runs even if the context has a sticky error. */
  uint64_t submit_always(std::function<void()> operation);

  /** Waits until the operation with this number is complete. */
  void wait(uint64_t number);
  /** Waits until all operations queued before the call are complete. */
  void wait_for_all();

  /** Waits until the queue is empty and the thread has ended. Do not queue operations afterwards. */
  void close();

 private:
  void work();
  void ensure_thread();

  Device &device_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  uint64_t submitted_ = 0;
  uint64_t completed_ = 0;
  bool running_ = false;
  bool closing_ = false;
};

class Event {
 public:
  /** `blocking` says whether a thread that waits sleeps. Otherwise it uses a core, whatever the context's flags. */
  Event(Device &device, bool blocking) : device_(device), blocking_(blocking) {}

  Device &device() const { return device_; }

  /** Appends the event to the queue of a stream. */
  static void record(const std::shared_ptr<Event> &event, Stream &stream);

  /** Waits until the stream reaches the last record of the event. Returns immediately if there is none. */
  void wait();

 private:
  Device &device_;
  const bool blocking_;
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t recorded_ = 0;
  uint64_t reached_ = 0;
};

}  // namespace cuda_sim
