/** Connections, events, and workers that die and come back. */
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "../../../cuda/test/content.h"
#include "../../../cuda/test/harness.h"
#include "simulator.h"
#include "worker_process.h"

namespace test {
namespace {

vram_attach_status try_connect(const vram_attach_options &options, vram_attach_error *error) {
  vram_attach_client *client = nullptr;
  const vram_attach_status status = vram_attach_connect(&options, &client, error);
  CHECK((client != nullptr) == (status == VRAM_ATTACH_OK));
  vram_attach_close(client);
  return status;
}

bool has_content(const vram_attach_lease_info &info) {
  const std::vector<uint8_t> expected = content(info.vram_bytes);
  return std::memcmp(reinterpret_cast<const void *>(info.address), expected.data(), expected.size()) == 0;
}

}  // namespace

TEST("a connection that is refused, missing or silent has its own status") {
  const Simulator simulator;
  const WorkerProcess worker;
  vram_attach_error error = {};
  vram_attach_options options = worker.options();
  options.token = "wrong";
  CHECK(try_connect(options, &error) == VRAM_ATTACH_REFUSED);
  CHECK(std::string(error.code) == "AUTH_FAILED");
  options.token = "secret";
  CHECK(try_connect(options, &error) == VRAM_ATTACH_OK);
  options.token = "two\nlines";
  CHECK(try_connect(options, &error) == VRAM_ATTACH_INVALID_ARGUMENT);

  options = worker.options("mute");
  options.timeout_ms = 50;
  CHECK(try_connect(options, &error) == VRAM_ATTACH_TIMED_OUT);
  options = worker.options();
  options.socket_path = "/nonexistent/attach.sock";
  CHECK(try_connect(options, &error) == VRAM_ATTACH_NOT_CONNECTED);
  const std::string long_path(200, 'x');
  options.socket_path = long_path.c_str();
  CHECK(try_connect(options, &error) == VRAM_ATTACH_INVALID_ARGUMENT);
  options = worker.options();
  options.driver_path = "/nonexistent/libcuda.so.1";
  CHECK(try_connect(options, &error) == VRAM_ATTACH_DRIVER_NOT_FOUND);
  options.driver_path = "libm.so.6";
  CHECK(try_connect(options, &error) == VRAM_ATTACH_DRIVER_NOT_FOUND);
  options.reserved = 1;
  CHECK(try_connect(options, &error) == VRAM_ATTACH_INVALID_ARGUMENT);
}

TEST("null pointers and requests without a shard are refused") {
  const Simulator simulator;
  const WorkerProcess worker;
  const Client client(worker.options());
  vram_attach_request request = {};
  vram_attach_lease *lease = nullptr;
  vram_attach_event event = {};
  const vram_attach_status invalid = VRAM_ATTACH_INVALID_ARGUMENT;
  CHECK(vram_attach_connect(nullptr, nullptr, nullptr) == invalid);
  CHECK(vram_attach_get_worker(client.get(), nullptr) == invalid);
  CHECK(vram_attach_list(client.get(), nullptr, nullptr, nullptr, nullptr, nullptr) == invalid);
  CHECK(vram_attach_shard(client.get(), nullptr, &lease, nullptr) == invalid);
  CHECK(vram_attach_shard(client.get(), &request, &lease, nullptr) == invalid);
  request.shard_id = "two\nlines";
  CHECK(vram_attach_shard(client.get(), &request, &lease, nullptr) == invalid);
  request.shard_id = "\xff";
  CHECK(vram_attach_shard(client.get(), &request, &lease, nullptr) == invalid);
  request.shard_id = "s0";
  CHECK(vram_attach_shard(nullptr, &request, &lease, nullptr) == invalid);
  CHECK(vram_attach_shard(client.get(), &request, nullptr, nullptr) == invalid);
  CHECK(vram_attach_get_lease(nullptr, nullptr) == invalid);
  CHECK(vram_attach_detach(nullptr, nullptr) == invalid);
  CHECK(vram_attach_event_descriptor(nullptr) == -1);
  CHECK(vram_attach_next_event(nullptr, &event) == invalid);
  CHECK(vram_attach_next_event(client.get(), nullptr) == invalid);
  CHECK(vram_attach_version() == VRAM_ATTACH_VERSION);
  CHECK(std::string(vram_attach_status_name(VRAM_ATTACH_NO_EVENT)) == "VRAM_ATTACH_NO_EVENT");
  CHECK(std::string(vram_attach_status_name(99)) == "VRAM_ATTACH_UNKNOWN");
  vram_attach_close(nullptr);
}

TEST("events arrive in order, before and after the answer that they overtake, and unknown ones are ignored") {
  const Simulator simulator;
  const WorkerProcess worker;
  const Client client(worker.options());
  vram_attach_lease *const lease = client.attach("eventful");
  const uint32_t expected[] = {VRAM_ATTACH_EVENT_CORRUPT,    VRAM_ATTACH_EVENT_REPAIRED,  VRAM_ATTACH_EVENT_VERIFIED,
                               VRAM_ATTACH_EVENT_SUPERSEDED, VRAM_ATTACH_EVENT_RELEASING, VRAM_ATTACH_EVENT_DRAINING};
  for (const bool after : {false, true}) {
    for (const uint32_t type : expected) {
      const vram_attach_event event = client.wait_for_event();
      CHECK(event.type == type);
      const bool about_shard = type != VRAM_ATTACH_EVENT_DRAINING;
      CHECK(event.lease == (after && about_shard ? lease : nullptr));
      CHECK(std::string(event.shard_id) == (about_shard ? "eventful" : ""));
      CHECK(event.deadline_ms == (type == VRAM_ATTACH_EVENT_RELEASING ? 1500 : 0));
    }
  }
  CHECK(std::string(client.info(lease).handle) == "handle-2");
  vram_attach_event none = {};
  CHECK(vram_attach_next_event(client.get(), &none) == VRAM_ATTACH_NO_EVENT);
}

TEST("a lease outlives a killed worker, and is resumed by the next one") {
  const Simulator simulator;
  WorkerProcess worker;
  const Client client(worker.options());
  vram_attach_lease *const lease = client.attach("s0"), *const other = client.attach("s1");
  const vram_attach_lease_info before = client.info(lease);
  worker.kill();
  for (vram_attach_lease *const each : {lease, other}) {
    const vram_attach_event event = client.wait_for_event();
    CHECK(event.type == VRAM_ATTACH_EVENT_ORPHANED && event.lease == each);
  }
  CHECK(client.info(lease).state == VRAM_ATTACH_ORPHANED);
  CHECK(has_content(client.info(lease)));
  vram_attach_worker described = {};
  REQUIRE(vram_attach_get_worker(client.get(), &described) == VRAM_ATTACH_OK);
  CHECK(described.connected == 0);
  const std::string boot_id = described.boot_id;

  // A lease that was detached is not resumed.
  REQUIRE(vram_attach_detach(other, nullptr) == VRAM_ATTACH_OK);
  worker.start("ok");
  const vram_attach_event event = client.wait_for_event();
  CHECK(event.type == VRAM_ATTACH_EVENT_RESUMED && event.lease == lease && std::string(event.shard_id) == "s0");
  const vram_attach_lease_info after = client.info(lease);
  CHECK(after.state == VRAM_ATTACH_ACTIVE && after.address == before.address);
  CHECK(std::string(after.handle) == "handle-resumed" && std::string(after.receipt) == "receipt-resumed");
  CHECK(std::string(before.handle) == "handle-1");  // earlier texts stay valid
  CHECK(has_content(after) && client.leases() == 1);
  REQUIRE(vram_attach_get_worker(client.get(), &described) == VRAM_ATTACH_OK);
  CHECK(described.connected == 1 && boot_id != described.boot_id);
}

TEST("a lease whose memory the next worker does not have is stale, readable, and can be detached") {
  const Simulator simulator;
  WorkerProcess worker;
  const Client client(worker.options());
  vram_attach_lease *const lease = client.attach("s0");
  worker.kill();
  CHECK(client.wait_for_event().type == VRAM_ATTACH_EVENT_ORPHANED);
  worker.start("stale");
  CHECK(client.wait_for_event().type == VRAM_ATTACH_EVENT_STALE);
  CHECK(client.info(lease).state == VRAM_ATTACH_STALE && has_content(client.info(lease)));
  CHECK(client.leases() == 0);
  REQUIRE(vram_attach_detach(lease, nullptr) == VRAM_ATTACH_OK);
  CHECK(has_content(client.info(client.attach("s0"))));
}

TEST("a resume that the worker cannot answer yet is tried again") {
  const Simulator simulator;
  WorkerProcess worker;
  const Client client(worker.options());
  vram_attach_lease *const lease = client.attach("s0");
  worker.kill();
  CHECK(client.wait_for_event().type == VRAM_ATTACH_EVENT_ORPHANED);
  worker.start("busy");
  vram_attach_event event = {};
  for (int turn = 0; turn < 100 && client.leases() == 0; ++turn) {
    CHECK(vram_attach_next_event(client.get(), &event) == VRAM_ATTACH_NO_EVENT);
    usleep(2000);
    if (turn == 50) CHECK(client.info(lease).state == VRAM_ATTACH_ORPHANED);
  }
  worker.kill();
  worker.start("ok");
  CHECK(client.wait_for_event().type == VRAM_ATTACH_EVENT_RESUMED);
}

TEST("an attach connects again after the worker was restarted") {
  const Simulator simulator;
  WorkerProcess worker;
  const Client client(worker.options());
  worker.kill();
  vram_attach_request request = {};
  request.shard_id = "s0";
  vram_attach_lease *lease = nullptr;
  vram_attach_error error = {};
  CHECK(vram_attach_shard(client.get(), &request, &lease, &error) == VRAM_ATTACH_NOT_CONNECTED);
  CHECK(error.retriable == 1);
  CHECK(vram_attach_shard(client.get(), &request, &lease, &error) == VRAM_ATTACH_NOT_CONNECTED);
  worker.start("ok");
  CHECK(has_content(client.info(client.attach("s0"))));
}

TEST("many threads use one client at once") {
  const Simulator simulator;
  const WorkerProcess worker;
  const Client client(worker.options());
  std::atomic<bool> stop{false};
  std::thread events([&] {
    vram_attach_event event = {};
    while (!stop) {
      (void)vram_attach_next_event(client.get(), &event);
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int turn = 0; turn < 10; ++turn) {
        vram_attach_lease *const lease = client.attach(i % 2 == 0 ? "s0" : "eventful");
        CHECK(has_content(client.info(lease)));
        CHECK(vram_attach_detach(lease, nullptr) == VRAM_ATTACH_OK);
      }
    });
  }
  for (std::thread &thread : threads) thread.join();
  stop = true;
  events.join();
  CHECK(client.leases() == 0 && simulator.live("*") == 0);
}

}  // namespace test
