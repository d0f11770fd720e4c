/**
 * A worker for the tests: speaks the wire format with code of its own, and hands over simulated memory by libvram.
 *
 *     fake_worker SOCKET RESUME
 *
 * Prints "ready" when the socket listens. RESUME says how it answers `resume`: ok, stale, or busy (retriable, every
 * time). What it does with an `attach` depends on the shard's name; see Session::attach().
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "../../../cuda/test/content.h"
#include "../../../cuda/test/descriptors.h"
#include "../../../cuda/test/harness.h"
#include "wire.h"

namespace {

using test::Descriptor;
using test::encode;
using test::Fields;
using test::mutated;

constexpr uint64_t kPartBytes = uint64_t{2} << 20;

struct Shard {
  uint32_t device;
  uint64_t bytes;
  uint64_t allocation;
  std::vector<uint64_t> parts;
};

/** The memory that is handed over, and the leases of all sessions. */
struct State {
  uint64_t driver = 0;
  int listener = -1;
  std::map<std::string, Shard> shards;
  std::string resume;
  std::set<std::string> leases;
  int next_lease = 1;
  uint64_t timed_out_attaches = 0;
};

class Session {
 public:
  Session(State &state, Descriptor socket) : state_(state), socket_(std::move(socket)) {}

  int descriptor() const { return socket_.get(); }

  /** Reads and answers. False at the end of the session. */
  bool serve() {
    char piece[4096];
    const ssize_t bytes = recv(socket_.get(), piece, sizeof(piece), 0);
    if (bytes <= 0) return false;
    buffer_.append(piece, static_cast<size_t>(bytes));
    while (buffer_.size() >= 4) {
      uint32_t length = 0;
      std::memcpy(&length, buffer_.data(), 4);
      if (buffer_.size() < 4 + length) return true;
      const Fields request = test::parse(buffer_.substr(4, length));
      buffer_.erase(0, 4 + length);
      if (!answer(request)) return false;
    }
    return true;
  }

 private:
  void send_raw(const std::string &bytes) const {
    for (size_t done = 0; done < bytes.size();) {
      const ssize_t sent = send(socket_.get(), bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
      if (sent <= 0) return;  // the client is gone
      done += static_cast<size_t>(sent);
    }
  }
  void send_frame(const std::string &lines) const { send_raw(encode(lines)); }

  void refuse(const std::string &id, const char *code, bool retriable) const {
    send_frame("type=error\n" + (id.empty() ? "" : "id=" + id + "\n") + "code=" + code + "\ndetail=no such luck\n" +
               "retriable=" + (retriable ? "true\nretry_after_ms=25\n" : "false\nretry_after_ms=\n"));
  }

  bool answer(const Fields &request) {
    const std::string type = request.at("type");
    if (!greeted_) return greet(type, request);
    const std::string id = request.at("id");
    if (type == "list") list(request);
    if (type == "attach") return attach(request);
    if (type == "resume") resume(request);
    if (type == "detach") {
      state_.leases.erase(request.at("lease_id"));
      send_frame("type=detached\nid=" + id + "\n");
    }
    return true;
  }

  bool greet(const std::string &type, const Fields &hello) {
    REQUIRE(type == "hello" && hello.at("version") == "1");
    if (hello.at("client") == "mute") return true;
    if (hello.count("token") != 0 && hello.at("token") != "secret") {
      refuse("", "AUTH_FAILED", false);
      return false;
    }
    greeted_ = true;
    send_frame("type=welcome\nversion=1\nworker_id=fake\nboot_id=boot-" + std::to_string(getpid()) +
               "\ndriver=simulated\nsimulated=true\ndevice=0 GPU-0\nlater_key=ignored\n");
    return true;
  }

  /** Two pages. The size of the shard "leases" is the number of leases. */
  void list(const Fields &request) const {
    if (request.count("model_ref") != 0 && request.at("model_ref").rfind("fuzz-", 0) == 0) return list_mutated(request);
    const std::string digest = "sha256:" + std::string(64, 'a');
    const std::string head = "type=shards\nid=" + request.at("id") + "\n";
    if (request.count("cursor") == 0) {
      std::string lines = head;
      for (const auto &[name, shard] : state_.shards) {
        lines += "shard=" + name + " 0 1 " + std::to_string(shard.bytes) + " " + digest + " sealed true a model\n";
      }
      return send_frame(lines + "next_cursor=2\n");
    }
    REQUIRE(request.at("cursor") == "2");
    send_frame(head + "shard=leases 1 2 " + std::to_string(state_.leases.size()) + " " + digest +
               " corrupt false a model\nnext_cursor=\n");
  }

  /** Half of the frames have the right length. Events go first. */
  void list_mutated(const Fields &request) const {
    const auto seed = static_cast<unsigned>(std::stoul(request.at("model_ref").substr(5)));
    const std::string event =
        "type=event\nevent=releasing\nlease_id=lease-1\nshard_id=s0\nhandle=h\ndeadline_ms=1500\n";
    const std::string digest = "sha256:" + std::string(64, 'a');
    const std::string lines = "type=shards\nid=" + request.at("id") + "\nshard=s0 0 1 4096 " + digest +
                              " sealed true a model\nnext_cursor=\n";
    send_raw(encode(mutated(event, seed)) +
             (seed % 2 == 0 ? encode(mutated(lines, seed)) : mutated(encode(lines), seed)));
  }

  void resume(const Fields &request) const {
    const std::string id = request.at("id");
    REQUIRE(request.at("allocation_id").rfind("allocation-", 0) == 0);
    if (state_.resume == "stale") return refuse(id, "STALE_ALLOCATION", false);
    if (state_.resume == "busy") return refuse(id, "SHARD_BUSY", true);
    state_.leases.insert(request.at("lease_id"));
    send_frame("type=resumed\nid=" + id + "\nhandle=handle-resumed\nreceipt=receipt-resumed\n");
  }

  std::string attached_lines(const std::string &id, uint64_t bytes, const std::vector<uint64_t> &parts) const {
    std::string lines = "type=attached\nid=" + id + "\nlease_id=" + "lease-" + std::to_string(state_.next_lease) +
                        "\nhandle=handle-1\nreceipt=receipt-1\nvram_bytes=" + std::to_string(bytes) +
                        "\ngranularity_bytes=2097152\nallocation_id=allocation-1\n";
    uint64_t offset = 0;
    for (const uint64_t part : parts) {
      lines += "part=" + std::to_string(offset) + " " + std::to_string(part) + "\n";
      offset += part;
    }
    return lines;
  }

  void grant() const { state_.leases.insert("lease-" + std::to_string(state_.next_lease++)); }

  void hand_over(uint64_t allocation, const std::string &frame) const {
    uint64_t sent = 0;
    const vram_status status = vram_hand_over(allocation, socket_.get(), frame.data(), frame.size(), &sent);
    if (status == VRAM_SOCKET_CLOSED) return;  // the client is gone
    REQUIRE_OK(status);
    send_raw(frame.substr(sent));
  }

  /** Descriptors of a shard, as its peer gets them. */
  test::Received export_of(const Shard &shard) const {
    const test::SocketPair sockets;
    uint64_t sent = 0;
    REQUIRE_OK(vram_hand_over(shard.allocation, sockets.ours.get(), "x", 1, &sent));
    return test::receive(sockets.peers);
  }

  void send_with(const std::vector<int32_t> &numbers, const std::string &frame) const {
    uint64_t sent = 0;
    REQUIRE_OK(vram_send(socket_.get(), frame.data(), frame.size(), numbers.data(),
                         static_cast<uint32_t>(numbers.size()), &sent));
    REQUIRE(sent == frame.size());
  }

  void send_event(const std::string &lines) const { send_frame("type=event\n" + lines); }

  /** False at the end of the session. */
  bool attach(const Fields &request) {
    const std::string id = request.at("id");
    const std::string name = request.count("shard_id") != 0 ? request.at("shard_id") : "s" + request.at("shard_index");
    if (name == "hangup") return false;
    if (name == "garbage") return send_raw("\xff\xff\xff\xff"), true;
    if (name == "empty") return send_raw(std::string(4, 0)), true;
    if (name == "no-type") return send_frame("id=" + id + "\n"), true;
    if (name == "not-utf8") return send_frame("type=attached\nid=" + id + "\nlease_id=\xc3\x28\n"), true;
    if (name == "other-answer") return send_frame("type=detached\nid=" + id + "\n"), true;
    if (name == "busy") return refuse(id, "SHARD_BUSY", true), true;
    const Shard &first = state_.shards.at("s0"), &second = state_.shards.at("s1");
    const auto all = [&](std::vector<uint64_t> parts) { return attached_lines(id, first.bytes, parts); };
    std::vector<uint64_t> parts = first.parts;
    if (name == "fewer") parts.pop_back();
    if (name == "more") parts.push_back(kPartBytes);
    if (name == "fewer" || name == "more") {
      hand_over(first.allocation, encode(attached_lines(id, 1, parts)));
      return grant(), true;
    }
    if (name == "gap") {
      std::string lines = all(parts);
      lines.replace(lines.find("part=2097152"), 12, "part=2097153");
      hand_over(first.allocation, encode(lines));
    } else if (name == "uncovered") {
      hand_over(first.allocation, encode(attached_lines(id, uint64_t{1} << 63, parts)));
    } else if (name == "overflow") {
      hand_over(first.allocation, encode(all({UINT64_MAX - 1, UINT64_MAX - 1, 2, 2})));
    } else if (name == "no-descriptors") {
      send_frame(all(parts));
    } else if (name == "alien") {
      const Descriptor null(open("/dev/null", O_RDWR | O_CLOEXEC));
      send_with({null.get()}, encode(attached_lines(id, 1, {kPartBytes})));
    } else if (name == "two-devices") {
      const test::Received a = export_of(first), b = export_of(second);
      send_with({a.numbers()[0], b.numbers()[0]}, encode(attached_lines(id, 1, {kPartBytes, kPartBytes})));
    } else if (name == "slow") {
      // Until another client connects, or for 15 seconds, which is less than the client's time-out.
      pollfd next_client = {state_.listener, POLLIN, 0};
      REQUIRE(poll(&next_client, 1, 15000) >= 0);
      hand_over(first.allocation, encode(all(parts)));
    } else if (name == "split") {
      const std::string frame = encode(all(parts));
      hand_over(first.allocation, frame.substr(0, 1));
      for (size_t i = 1; i < frame.size(); ++i) {
        send_raw(frame.substr(i, 1));
        if (i % 40 == 0) usleep(1000);
      }
    } else if (name.rfind("fuzz-", 0) == 0) {
      // Half of the frames have the right length.
      const auto seed = static_cast<unsigned>(std::stoul(name.substr(5)));
      const std::string lines = all(parts);
      hand_over(first.allocation, seed % 2 == 0 ? encode(mutated(lines, seed)) : mutated(encode(lines), seed));
    } else if (state_.shards.count(name) != 0) {
      const Shard &shard = state_.shards.at(name);
      hand_over(shard.allocation, encode(attached_lines(id, shard.bytes, shard.parts)));
    } else if (name == "eventful") {
      send_events();
      hand_over(first.allocation, encode(all(parts)));
      send_events();
    } else {
      return refuse(id, "NOT_FOUND", false), true;
    }
    return grant(), true;
  }

  void send_events() const {
    const std::string about = "lease_id=lease-" + std::to_string(state_.next_lease) + "\nshard_id=eventful\n";
    for (const char *name : {"corrupt", "repaired", "verified", "unheard-of"}) {
      send_event("event=" + std::string(name) + "\n" + about);
    }
    send_event("event=superseded\n" + about + "handle=handle-2\n");
    send_event("event=releasing\n" + about + "deadline_ms=1500\n");
    send_event("event=draining\n");
    send_frame("type=unheard-of\nkey=value\n");
  }

  State &state_;
  Descriptor socket_;
  std::string buffer_;
  bool greeted_ = false;
};

void seal_shard(State &state, const char *name, uint32_t device, uint64_t bytes) {
  const std::vector<uint8_t> data = test::content(bytes);
  Shard shard = {device, bytes, 0, {}};
  REQUIRE_OK(vram_alloc(state.driver, device, bytes, VRAM_ALLOC_EXPORTABLE, &shard.allocation));
  REQUIRE_OK(vram_write(shard.allocation, 0, data.data(), bytes));
  REQUIRE_OK(vram_seal(shard.allocation));
  vram_allocation_info info = {};
  REQUIRE_OK(vram_allocation_get_info(shard.allocation, &info));
  for (uint64_t offset = 0; offset < info.mapped_bytes; offset += info.part_bytes) {
    shard.parts.push_back(std::min(info.part_bytes, info.mapped_bytes - offset));
  }
  state.shards[name] = shard;
}

Descriptor listen_at(const char *path) {
  Descriptor listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  REQUIRE(std::strlen(path) < sizeof(address.sun_path));
  std::strcpy(address.sun_path, path);
  unlink(path);
  REQUIRE(bind(listener.get(), reinterpret_cast<const sockaddr *>(&address), sizeof(address)) == 0);
  REQUIRE(listen(listener.get(), 16) == 0);
  return listener;
}

void serve(State &state, const char *path) {
  const Descriptor listener = listen_at(path);
  state.listener = listener.get();
  std::puts("ready");
  std::fflush(stdout);
  std::vector<std::unique_ptr<Session>> sessions;
  for (;;) {
    std::vector<pollfd> polled = {{listener.get(), POLLIN, 0}};
    for (const auto &session : sessions) polled.push_back({session->descriptor(), POLLIN, 0});
    REQUIRE(poll(polled.data(), polled.size(), -1) > 0);
    for (size_t i = polled.size() - 1; i >= 1; --i) {
      if (polled[i].revents != 0 && !sessions[i - 1]->serve())
        sessions.erase(sessions.begin() + static_cast<long>(i) - 1);
    }
    if (polled[0].revents == 0) continue;
    sessions.push_back(
        std::make_unique<Session>(state, Descriptor(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC))));
  }
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  unsetenv("CUDA_SIM_VISIBLE_DEVICES");
  const char *const cuda = std::getenv("ATTACH_TEST_CUDA");
  const std::string driver = std::string(cuda) + "/libcuda_sim.so", kernels = std::string(cuda) + "/vram_kernels.sim";
  const vram_options options = {driver.c_str(), kernels.c_str(), uint64_t{1} << 30, kPartBytes, 1, 0};
  State state;
  state.resume = argv[2];
  try {
    REQUIRE_OK(vram_open(&options, &state.driver));
    for (const uint32_t device : {0u, 1u}) REQUIRE_OK(vram_open_device(state.driver, device));
    seal_shard(state, "s0", 0, 3 * kPartBytes + 4097);
    seal_shard(state, "s1", 1, kPartBytes / 2);
    serve(state, argv[1]);
  } catch (const test::Ended &) {
  }
  return 1;
}
