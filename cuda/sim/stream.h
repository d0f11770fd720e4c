/** Streams: queues of operations, each worked off by a thread of its own; and events, which mark a place in one. */
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
   * Queues an operation on the device. What it returns, if it is an error, kills the context; in a dead one it is
   * passed over. The number of the operation, for wait().
   */
  uint64_t submit(std::function<CUresult()> operation);

  /** Queues what runs in a dead context too. */
  uint64_t submit_always(std::function<void()> operation);

  /** Returns when the operation of that number, and all before it, are done. */
  void wait(uint64_t number);
  /** … and when all are that were queued before the call. */
  void wait_for_all();

  /** Lets the queue run dry and its thread end. Nothing may be queued after it. */
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
  explicit Event(Device &device) : device_(device) {}

  Device &device() const { return device_; }

  /** Puts the event at the end of a stream's queue. */
  static void record(const std::shared_ptr<Event> &event, Stream &stream);

  /** Returns when the stream has come to where the event was recorded last; at once where it never was. */
  void wait();

 private:
  Device &device_;
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t recorded_ = 0;
  uint64_t reached_ = 0;
};

}  // namespace cuda_sim
