/** A client: a session, its leases and the events that wait to be taken. */
#pragma once

#include <unistd.h>

#include <atomic>
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

  int descriptor() const { return session_.descriptor(); }

  /** False in a child process: its socket and its mutex are those of the parent. */
  bool is_own_process() const { return getpid() == process_; }

  /** The owner's reference keeps the object, and each exported tensor has another one. */
  void own_itself(std::shared_ptr<Client> self) { self_ = std::move(self); }
  const std::shared_ptr<Client> &shared() const { return self_; }
  /** Takes the leases and the client from their owner. Returns the owner's reference. */
  std::shared_ptr<Client> disown();

  /** Drops a reference to a lease. The last one detaches it, now or at the end of a call that another thread makes. */
  void drop(Lease &lease) noexcept;

  /** Holds the mutex. */
  class Turn {
   public:
    explicit Turn(Client &client) : client_(client) { client_.mutex_.lock(); }
    ~Turn() {
      client_.mutex_.unlock();
      client_.detach_unreferenced();
    }
    Turn(const Turn &) = delete;
    Turn &operator=(const Turn &) = delete;

   private:
    Client &client_;
  };

  /** Each requires a Turn, and throws Failure. */
  void connect();
  vram_attach_worker worker() const;
  /** One page of shards, in the order of the worker. `cursor` is empty for the first, and receives the next. */
  std::vector<std::string> list(const char *model_ref, const char *gpu_uuid, std::string &cursor);
  Lease &attach(const vram_attach_request &request);
  /** Ends the owner's use. The memory stays mapped until the last exported tensor is gone. */
  void detach(Lease &lease);
  /** Null if there is no event. The event is valid until the next call. */
  const Event *next_event();

 private:
  void end(Lease &lease);
  void add_unreferenced(Lease &lease) noexcept;
  void detach_unreferenced() noexcept;
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

  const pid_t process_ = getpid();
  std::shared_ptr<Client> self_;
  std::mutex mutex_;
  std::atomic<Lease *> unreferenced_ = nullptr;  // a list; end() takes them out of leases_
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
