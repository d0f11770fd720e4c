#include "client.h"

#include <algorithm>

namespace vram_attach {
namespace {

constexpr struct {
  const char *name;
  uint32_t type;
} kEvents[] = {
    {"corrupt", VRAM_ATTACH_EVENT_CORRUPT},       {"repaired", VRAM_ATTACH_EVENT_REPAIRED},
    {"superseded", VRAM_ATTACH_EVENT_SUPERSEDED}, {"releasing", VRAM_ATTACH_EVENT_RELEASING},
    {"draining", VRAM_ATTACH_EVENT_DRAINING},     {"verified", VRAM_ATTACH_EVENT_VERIFIED},
};

/** A client that never takes its events keeps the newest ones. */
constexpr size_t kMaxEvents = 4096;
/** When a lease that the worker cannot resume yet is tried again, unless the worker says. */
constexpr uint64_t kResumeMs = 1000;

}  // namespace

Client::Client(const std::string &driver_path, Options options)
    : driver_(driver_path), session_(std::move(options), *this) {}

Client::~Client() {
  for (const auto &lease : leases_) {
    try {
      lease->unmap();
      tell_detached(lease->lease_id());
    } catch (...) {  // the worker sees the end of the connection, and later of the process
    }
  }
}

void Client::connect() {
  session_.ensure_ready(session_.deadline());
}

vram_attach_worker Client::worker() const {
  const Worker &worker = workers_.back();
  return {worker.worker_id.c_str(), worker.boot_id.c_str(), worker.driver.c_str(), worker.simulated ? 1u : 0u,
          session_.is_ready() ? 1u : 0u};
}

std::vector<std::string> Client::list(const char *model_ref, const char *gpu_uuid, std::string &cursor) {
  Frame request("list");
  request.add_optional("model_ref", model_ref).add_optional("gpu_uuid", gpu_uuid);
  if (!cursor.empty()) request.add("cursor", cursor);
  const Frame shards = session_.ask(std::move(request), "shards", session_.deadline());
  cursor = shards.get("next_cursor");
  return shards.all("shard");
}

Lease &Client::attach(const vram_attach_request &request) {
  const std::string gpu_uuid = request.gpu_uuid != nullptr ? request.gpu_uuid : "";
  if (!gpu_uuid.empty()) (void)driver_.device_of(gpu_uuid);
  Frame frame("attach");
  if (request.shard_id != nullptr) {
    frame.add("shard_id", request.shard_id);
  } else {
    frame.add("model_ref", request.model_ref).add("shard_index", request.shard_index);
  }
  frame.add_optional("gpu_uuid", request.gpu_uuid).add_optional("expected_tree_digest", request.expected_tree_digest);
  if (request.max_age_seconds != 0) frame.add("max_age_seconds", request.max_age_seconds);
  frame.add_optional("nonce", request.nonce).add_optional("label", request.label);

  const Frame attached = session_.ask(std::move(frame), "attached", session_.deadline());
  try {
    const Descriptors descriptors = session_.take_descriptors();
    auto lease = std::make_unique<Lease>(*this, request.shard_id != nullptr ? request.shard_id : "");
    lease->open(driver_, attached, descriptors, gpu_uuid);
    leases_.push_back(std::move(lease));
    return *leases_.back();
  } catch (...) {
    tell_detached(attached.get("lease_id"));  // the worker counts the lease already
    throw;
  }
}

/** Tells the worker that a lease has ended, now or after the next connection. */
void Client::tell_detached(const std::string &lease_id) {
  if (lease_id.empty()) return;
  if (session_.tell(Frame("detach").add("lease_id", lease_id)) == 0) undetached_.push_back(lease_id);
}

std::shared_ptr<Client> Client::disown() {
  const Turn turn(*this);
  for (const auto &lease : leases_) {
    if (lease->disown() && lease->drop_reference()) add_unreferenced(*lease);
  }
  return std::move(self_);
}

void Client::drop(Lease &lease) noexcept {
  if (!lease.drop_reference() || !is_own_process()) return;
  add_unreferenced(lease);
  detach_unreferenced();
}

void Client::add_unreferenced(Lease &lease) noexcept {
  lease.next = unreferenced_.load();
  while (!unreferenced_.compare_exchange_weak(lease.next, &lease)) {
  }
}

/** Never waits: a thread that holds the mutex does this work when it gives the mutex back. */
void Client::detach_unreferenced() noexcept {
  while (unreferenced_.load() != nullptr && mutex_.try_lock()) {
    const std::lock_guard<std::mutex> lock(mutex_, std::adopt_lock);
    for (Lease *lease = unreferenced_.exchange(nullptr); lease != nullptr;) {
      Lease &ended = *std::exchange(lease, lease->next);
      try {
        end(ended);
      } catch (...) {  // the destructor tries again
      }
    }
  }
}

void Client::detach(Lease &lease) {
  if (!lease.is_exported()) return end(lease);
  lease.disown();
  if (lease.drop_reference()) end(lease);
}

void Client::end(Lease &lease) {
  lease.unmap();
  if (lease.state() != VRAM_ATTACH_STALE) tell_detached(lease.lease_id());
  for (Event &event : events_) {
    if (event.lease == &lease) event.lease = nullptr;
  }
  for (auto entry = resuming_.begin(); entry != resuming_.end();) {
    entry = entry->second == &lease ? resuming_.erase(entry) : std::next(entry);
  }
  leases_.erase(std::find_if(leases_.begin(), leases_.end(), [&](const auto &each) { return each.get() == &lease; }));
}

const Event *Client::next_event() {
  if (events_.empty()) session_.pump();
  session_.set_pending(false);
  if (events_.empty()) return nullptr;
  taken_ = std::move(events_.front());
  if (taken_.lease != nullptr && !taken_.lease->is_owned()) taken_.lease = nullptr;
  events_.pop_front();
  if (!events_.empty()) session_.set_pending(true);
  return &taken_;
}

void Client::push(uint32_t type, Lease *lease, const std::string &shard_id, uint64_t deadline_ms) {
  if (events_.size() == kMaxEvents) events_.pop_front();
  events_.push_back({type, lease, shard_id, deadline_ms});
  session_.set_pending(true);
}

void Client::on_welcome() {
  workers_.push_back(session_.worker());
  for (const std::string &lease_id : std::exchange(undetached_, {})) tell_detached(lease_id);
  resume_orphans();
}

void Client::on_wake() {
  resume_orphans();
}

void Client::resume_orphans() {
  for (const auto &lease : leases_) {
    if (lease->state() == VRAM_ATTACH_ORPHANED) resume(*lease);
  }
}

void Client::resume(Lease &lease) {
  Frame request("resume");
  request.add("lease_id", lease.lease_id()).add("allocation_id", lease.allocation_id());
  const uint64_t id = session_.tell(std::move(request));
  if (id != 0) resuming_[id] = &lease;
}

void Client::on_disconnect() {
  resuming_.clear();
  for (const auto &lease : leases_) {
    if (lease->state() != VRAM_ATTACH_ACTIVE) continue;
    lease->set_state(VRAM_ATTACH_ORPHANED);
    push(VRAM_ATTACH_EVENT_ORPHANED, lease.get(), lease->shard_id());
  }
}

void Client::on_frame(const Frame &frame) {
  if (frame.type() == "event") return on_event(frame);
  // The answer to a request that timed out.
  if (frame.type() == "attached") return tell_detached(frame.get("lease_id"));
  const std::string id = frame.get("id");
  const auto found = id.empty() ? resuming_.end() : resuming_.find(parse_number(id));
  if (found == resuming_.end()) return;
  Lease &lease = *found->second;
  resuming_.erase(found);
  on_resume_answer(lease, frame);
}

void Client::on_resume_answer(Lease &lease, const Frame &frame) {
  if (frame.type() == "resumed") {
    lease.set_documents(frame.get("handle"), frame.get("receipt"));
    lease.set_state(VRAM_ATTACH_ACTIVE);
    push(VRAM_ATTACH_EVENT_RESUMED, &lease, lease.shard_id());
  } else if (frame.type() == "error" && frame.get("retriable") != "true") {
    lease.set_state(VRAM_ATTACH_STALE);
    push(VRAM_ATTACH_EVENT_STALE, &lease, lease.shard_id());
  } else {
    const uint64_t wait_ms = refusal_of(frame).retry_after_ms;
    session_.wake_after(wait_ms != 0 ? wait_ms : kResumeMs);
  }
}

void Client::on_event(const Frame &frame) {
  const std::string name = frame.get("event");
  const auto *known =
      std::find_if(std::begin(kEvents), std::end(kEvents), [&](const auto &e) { return name == e.name; });
  if (known == std::end(kEvents)) return;
  Lease *const lease = lease_of(frame.get("lease_id"));
  if (lease != nullptr) lease->set_documents(frame.get("handle"), "");
  const std::string deadline = frame.get("deadline_ms");
  push(known->type, lease, frame.get("shard_id"), deadline.empty() ? 0 : parse_number(deadline));
}

Lease *Client::lease_of(const std::string &lease_id) const {
  for (const auto &lease : leases_) {
    if (lease->lease_id() == lease_id) return lease.get();
  }
  return nullptr;
}

}  // namespace vram_attach
