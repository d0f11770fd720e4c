/** A client: a session, its leases and the events that wait to be taken. */
#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <vector>

#include "lease.h"
#include "session.h"

namespace vram_attach {

/** See vram_attach_event. */
struct Event {
  uint32_t type;
  Lease *lease;
  std::string shard_id;
  uint64_t deadline_ms;
};

class Client : private SessionObserver {
 public:
  Client(const std::string &driver_path, Options options);
  /** Detaches all leases, because the worker would keep them for as long as this process lives. */
  ~Client() override;
  Client(const Client &) = delete;
  Client &operator=(const Client &) = delete;

  std::mutex &mutex() { return mutex_; }
  int descriptor() const { return session_.descriptor(); }

  /** Each requires the mutex, and throws Failure. */
  void connect();
  vram_attach_worker worker() const;
  /** One page of shards, in the order of the worker. `cursor` is empty for the first, and receives the next. */
  std::vector<std::string> list(const char *model_ref, const char *gpu_uuid, std::string &cursor);
  Lease &attach(const vram_attach_request &request);
  void detach(Lease &lease);
  /** Null if there is no event. The event is valid until the next call. */
  const Event *next_event();

 private:
  void on_welcome() override;
  void on_disconnect() override;
  void on_frame(const Frame &frame) override;
  void on_wake() override;
  void on_event(const Frame &frame);
  void resume_orphans();
  void tell_detached(const std::string &lease_id);
  void on_resume_answer(Lease &lease, const Frame &frame);
  void resume(Lease &lease);
  void push(uint32_t type, Lease *lease, const std::string &shard_id, uint64_t deadline_ms = 0);
  Lease *lease_of(const std::string &lease_id) const;

  std::mutex mutex_;
  const Driver driver_;
  Session session_;
  std::deque<Worker> workers_;  // all that worker() has returned texts of
  std::vector<std::unique_ptr<Lease>> leases_;
  std::map<uint64_t, Lease *> resuming_;  // by the id of the request
  std::vector<std::string> undetached_;   // ids of leases whose end the worker does not know
  std::deque<Event> events_;
  Event taken_ = {};  // the event that next_event() returned
};

}  // namespace vram_attach
