/** The C functions. Each checks its pointers, takes the client's mutex, and turns exceptions into statuses. */
#include <cstring>
#include <new>

#include "client.h"
#include "dlpack.h"

using namespace vram_attach;

struct vram_attach_client : Client {
  using Client::Client;
};

namespace {

constexpr uint32_t kDefaultTimeoutMs = 30000;
constexpr size_t kMaxPages = 10000;

template <size_t kBytes>
void copy_text(char (&out)[kBytes], const std::string &text) {
  const size_t bytes = std::min(text.size(), kBytes - 1);
  std::memcpy(out, text.data(), bytes);
  out[bytes] = '\0';
}

void describe(const Failure &failure, vram_attach_error *out_error) {
  if (out_error == nullptr) return;
  *out_error = {};
  copy_text(out_error->code, failure.code);
  copy_text(out_error->detail, failure.detail);
  out_error->driver_result = failure.driver_result;
  out_error->retriable = failure.retriable ? 1 : 0;
  out_error->retry_after_ms = failure.retry_after_ms;
}

/** Runs the body of a C function. */
template <typename Body>
vram_attach_status guarded(vram_attach_error *error, Body body) noexcept {
  Failure failure = {VRAM_ATTACH_OUT_OF_MEMORY, ""};
  try {
    return body();
  } catch (Failure &caught) {
    failure = std::move(caught);
  } catch (...) {  // std::bad_alloc, std::system_error of a lock
  }
  describe(failure, error);
  return failure.status;
}

Failure invalid(const char *detail) {
  return {VRAM_ATTACH_INVALID_ARGUMENT, detail};
}

/** The same with the client's mutex. */
template <typename Body>
vram_attach_status with_client(Client *client, vram_attach_error *error, Body body) noexcept {
  return guarded(error, [&]() -> vram_attach_status {
    if (client == nullptr) throw invalid("the client is null");
    if (!client->is_own_process()) throw invalid("the client belongs to the parent of this process");
    const Client::Turn turn(*client);
    body(*client);
    return VRAM_ATTACH_OK;
  });
}

Lease *to_lease(vram_attach_lease *lease) {
  return reinterpret_cast<Lease *>(lease);
}

/** The same with the mutex of a lease's client. */
template <typename Body>
vram_attach_status with_lease(vram_attach_lease *lease, vram_attach_error *error, Body body) noexcept {
  if (lease == nullptr) return guarded(error, []() -> vram_attach_status { throw invalid("the lease is null"); });
  return with_client(&to_lease(lease)->client(), error, body);
}

std::string text_or(const char *text, const char *fallback) {
  return text != nullptr ? text : fallback;
}

/** Parses a `shard=` line, and passes it on. */
void visit_shard(const std::string &line, void (*visit)(const vram_attach_shard_info *, void *), void *context) {
  const std::vector<std::string> words = split_words(line, 8);
  vram_attach_shard_info shard = {};
  shard.shard_id = words[0].c_str();
  shard.shard_index = static_cast<uint32_t>(parse_number(words[1]));
  shard.total_shards = static_cast<uint32_t>(parse_number(words[2]));
  shard.vram_bytes = parse_number(words[3]);
  shard.tree_digest = words[4].c_str();
  shard.state = words[5].c_str();
  shard.exportable = words[6] == "true" ? 1 : 0;
  shard.model_ref = words[7].c_str();
  visit(&shard, context);
}

}  // namespace

const char *vram_attach_status_name(vram_attach_status status) {
  switch (status) {
#define NAME(constant) \
  case constant:       \
    return #constant;
    NAME(VRAM_ATTACH_OK)
    NAME(VRAM_ATTACH_INVALID_ARGUMENT)
    NAME(VRAM_ATTACH_OUT_OF_MEMORY)
    NAME(VRAM_ATTACH_NOT_CONNECTED)
    NAME(VRAM_ATTACH_TIMED_OUT)
    NAME(VRAM_ATTACH_PROTOCOL_ERROR)
    NAME(VRAM_ATTACH_REFUSED)
    NAME(VRAM_ATTACH_DESCRIPTORS_LOST)
    NAME(VRAM_ATTACH_DRIVER_NOT_FOUND)
    NAME(VRAM_ATTACH_DEVICE_NOT_FOUND)
    NAME(VRAM_ATTACH_DRIVER_ERROR)
    NAME(VRAM_ATTACH_NO_EVENT)
    NAME(VRAM_ATTACH_NOT_A_FILE)
#undef NAME
    default:
      return "VRAM_ATTACH_UNKNOWN";
  }
}

uint32_t vram_attach_version(void) {
  return VRAM_ATTACH_VERSION;
}

vram_attach_status vram_attach_connect(const vram_attach_options *options, vram_attach_client **out_client,
                                       vram_attach_error *error) {
  return guarded(error, [&]() -> vram_attach_status {
    const vram_attach_options defaults = {};
    const vram_attach_options &given = options != nullptr ? *options : defaults;
    if (out_client == nullptr) throw invalid("out_client is null");
    if (given.reserved != 0) throw invalid("reserved is not 0");
    const Options session = {text_or(given.socket_path, VRAM_ATTACH_DEFAULT_SOCKET),
                             text_or(given.client_name, "libvram_attach/1"), text_or(given.token, ""),
                             given.timeout_ms != 0 ? given.timeout_ms : kDefaultTimeoutMs};
    const std::string driver = text_or(given.driver_path, VRAM_ATTACH_DEFAULT_DRIVER);
    const auto client = std::make_shared<vram_attach_client>(driver, session);
    client->connect();
    client->own_itself(client);
    *out_client = client.get();
    return VRAM_ATTACH_OK;
  });
}

void vram_attach_close(vram_attach_client *client) {
  if (client != nullptr && client->is_own_process()) (void)client->disown();
}

vram_attach_status vram_attach_get_worker(vram_attach_client *client, vram_attach_worker *out_worker) {
  return with_client(client, nullptr, [&](Client &object) {
    if (out_worker == nullptr) throw invalid("out_worker is null");
    *out_worker = object.worker();
  });
}

vram_attach_status vram_attach_list(vram_attach_client *client, const char *model_ref, const char *gpu_uuid,
                                    void (*visit)(const vram_attach_shard_info *shard, void *context), void *context,
                                    vram_attach_error *error) {
  std::string cursor;
  for (size_t page = 0; page < kMaxPages; ++page) {
    std::vector<std::string> lines;
    const vram_attach_status status = with_client(client, error, [&](Client &object) {
      if (visit == nullptr) throw invalid("visit is null");
      lines = object.list(model_ref, gpu_uuid, cursor);
    });
    if (status != VRAM_ATTACH_OK) return status;
    // Without the mutex, because a binding of another language can call this library from its garbage collector.
    const vram_attach_status visited = guarded(error, [&]() -> vram_attach_status {
      for (const std::string &line : lines) visit_shard(line, visit, context);
      return VRAM_ATTACH_OK;
    });
    if (visited != VRAM_ATTACH_OK || cursor.empty()) return visited;
  }
  return guarded(error,
                 []() -> vram_attach_status { throw protocol_error("the list of shards does not end"); });
}

vram_attach_status vram_attach_shard(vram_attach_client *client, const vram_attach_request *request,
                                     vram_attach_lease **out_lease, vram_attach_error *error) {
  return with_client(client, error, [&](Client &object) {
    if (request == nullptr || out_lease == nullptr) throw invalid("request or out_lease is null");
    if (request->shard_id == nullptr && request->model_ref == nullptr) throw invalid("the request names no shard");
    if (request->reserved != 0) throw invalid("reserved is not 0");
    *out_lease = reinterpret_cast<vram_attach_lease *>(&object.attach(*request));
  });
}

vram_attach_status vram_attach_get_lease(vram_attach_lease *lease, vram_attach_lease_info *out_info) {
  if (lease == nullptr || out_info == nullptr) return VRAM_ATTACH_INVALID_ARGUMENT;
  return with_client(&to_lease(lease)->client(), nullptr, [&](Client &) { *out_info = to_lease(lease)->info(); });
}

vram_attach_status vram_attach_get_path(vram_attach_lease *lease, const char **out_path, vram_attach_error *error) {
  return with_lease(lease, error, [&](Client &) {
    if (out_path == nullptr) throw invalid("out_path is null");
    *out_path = to_lease(lease)->path().c_str();
  });
}

vram_attach_status vram_attach_read(vram_attach_lease *lease, uint64_t offset, void *buffer, uint64_t bytes,
                                    vram_attach_error *error) {
  return with_lease(lease, error, [&](Client &) {
    if (buffer == nullptr && bytes != 0) throw invalid("buffer is null");
    to_lease(lease)->read(offset, buffer, bytes);
  });
}

vram_attach_status vram_attach_detach(vram_attach_lease *lease, vram_attach_error *error) {
  return with_lease(lease, error, [&](Client &object) { object.detach(*to_lease(lease)); });
}

void vram_attach_release(vram_attach_lease *lease) {
  if (lease != nullptr && to_lease(lease)->disown()) to_lease(lease)->client().drop(*to_lease(lease));
}

vram_attach_status vram_attach_export(vram_attach_lease *lease, const vram_attach_tensor *tensor, void **out_tensor,
                                      vram_attach_error *error) {
  return with_lease(lease, error, [&](Client &client) {
    if (tensor == nullptr || out_tensor == nullptr) throw invalid("tensor or out_tensor is null");
    *out_tensor = export_tensor(client, *to_lease(lease), *tensor);
  });
}

int32_t vram_attach_event_descriptor(const vram_attach_client *client) {
  return client != nullptr ? client->descriptor() : -1;
}

vram_attach_status vram_attach_next_event(vram_attach_client *client, vram_attach_event *out_event) {
  bool found = false;
  const vram_attach_status status = with_client(client, nullptr, [&](Client &object) {
    if (out_event == nullptr) throw invalid("out_event is null");
    const Event *const event = object.next_event();
    found = event != nullptr;
    if (!found) return;
    auto *const lease = reinterpret_cast<vram_attach_lease *>(event->lease);
    *out_event = {event->type, 0, lease, event->shard_id.c_str(), event->deadline_ms};
  });
  return status == VRAM_ATTACH_OK && !found ? VRAM_ATTACH_NO_EVENT : status;
}
