/** Attaching and detaching: what is mapped, what is refused, and that nothing is left. */
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "../../../cuda/test/content.h"
#include "../../../cuda/test/descriptors.h"
#include "../../../cuda/test/harness.h"
#include "simulator.h"
#include "worker_process.h"

namespace test {
namespace {

constexpr uint64_t kShardBytes = 3 * (uint64_t{2} << 20) + 4097;
constexpr uint64_t kMappedBytes = 4 * (uint64_t{2} << 20);
constexpr char kFirstUuid[] = "GPU-73696d75-6c61-7465-642d-677075000000";
constexpr char kSecondUuid[] = "GPU-73696d75-6c61-7465-642d-677075000001";

/** Whether mapped memory has the bytes that the fake worker sealed. */
bool has_content(const vram_attach_lease_info &info) {
  const std::vector<uint8_t> expected = content(info.vram_bytes);
  return std::memcmp(reinterpret_cast<const void *>(info.address), expected.data(), expected.size()) == 0;
}

vram_attach_status try_attach(const Client &client, const char *shard_id, vram_attach_error *error) {
  vram_attach_request request = {};
  request.shard_id = shard_id;
  vram_attach_lease *lease = nullptr;
  const vram_attach_status status = vram_attach_shard(client.get(), &request, &lease, error);
  CHECK(status == VRAM_ATTACH_OK || lease == nullptr);
  return status;
}

}  // namespace

TEST("an attached shard has the sealed bytes, in one range of addresses, and leaves nothing when it is detached") {
  const Simulator simulator;
  const WorkerProcess worker;
  const Client client(worker.options("example/1.0"));
  vram_attach_worker described = {};
  REQUIRE(vram_attach_get_worker(client.get(), &described) == VRAM_ATTACH_OK);
  CHECK(std::string(described.worker_id) == "fake" && std::string(described.driver) == "simulated");
  CHECK(std::string(described.boot_id).rfind("boot-", 0) == 0);
  CHECK(described.simulated == 1 && described.connected == 1);

  const size_t descriptors_before = open_descriptors();
  vram_attach_lease *const lease = client.attach("s0");
  const vram_attach_lease_info info = client.info(lease);
  CHECK(info.vram_bytes == kShardBytes && info.mapped_bytes == kMappedBytes && info.device == 1);
  CHECK(info.state == VRAM_ATTACH_ACTIVE && std::string(info.allocation_id) == "allocation-1");
  CHECK(std::string(info.lease_id) == "lease-1");
  CHECK(std::string(info.handle) == "handle-1" && std::string(info.receipt) == "receipt-1");
  CHECK(has_content(info));
  // The simulator keeps one descriptor for each part that it imported; the library keeps none.
  CHECK(open_descriptors() == descriptors_before + 4);
  CHECK(simulator.live("cuMemCreate") == 0 && simulator.live("cuMemMap") == 4);

  vram_attach_lease *const other = client.attach("split");
  CHECK(has_content(client.info(other)));
  CHECK(client.leases() == 2);
  REQUIRE(vram_attach_detach(lease, nullptr) == VRAM_ATTACH_OK);
  REQUIRE(vram_attach_detach(other, nullptr) == VRAM_ATTACH_OK);
  CHECK(client.leases() == 0);
  CHECK(simulator.live("*") == 0 && open_descriptors() == descriptors_before);
}

TEST("bytes of a shard are copied to host memory, and nothing outside the shard") {
  const Simulator simulator;
  const WorkerProcess worker;
  const Client client(worker.options());
  vram_attach_lease *const lease = client.attach("split");
  const uint64_t live = simulator.live("*");
  const std::vector<uint8_t> expected = content(kShardBytes);
  std::vector<uint8_t> copy(kShardBytes);
  vram_attach_error error = {};
  REQUIRE(vram_attach_read(lease, 0, copy.data(), copy.size(), &error) == VRAM_ATTACH_OK);
  CHECK(copy == expected);
  std::thread([&] {
    CHECK(vram_attach_read(lease, kShardBytes - 1, copy.data(), 1, nullptr) == VRAM_ATTACH_OK);
  }).join();
  CHECK(copy[0] == expected.back());
  CHECK(vram_attach_read(lease, kShardBytes, nullptr, 0, nullptr) == VRAM_ATTACH_OK);

  CHECK(vram_attach_read(lease, kShardBytes, copy.data(), 1, &error) == VRAM_ATTACH_INVALID_ARGUMENT);
  CHECK(std::string(error.detail) == "the shard has only 6295553 bytes");
  CHECK(vram_attach_read(lease, 1, copy.data(), UINT64_MAX, nullptr) == VRAM_ATTACH_INVALID_ARGUMENT);
  CHECK(vram_attach_read(lease, UINT64_MAX, copy.data(), 1, nullptr) == VRAM_ATTACH_INVALID_ARGUMENT);
  CHECK(vram_attach_read(lease, 0, nullptr, 1, nullptr) == VRAM_ATTACH_INVALID_ARGUMENT);
  CHECK(vram_attach_read(nullptr, 0, copy.data(), 1, nullptr) == VRAM_ATTACH_INVALID_ARGUMENT);
  for (const char *const function : {"cuCtxGetCurrent", "cuDevicePrimaryCtxRetain", "cuCtxSetCurrent",
                                     "cuStreamCreate", "cuMemcpyDtoHAsync_v2", "cuStreamSynchronize"}) {
    simulator.set("FAULTS", std::string(function) + ":1=999");
    CHECK(vram_attach_read(lease, 0, copy.data(), 1, &error) == VRAM_ATTACH_DRIVER_ERROR && error.driver_result == 999);
    simulator.reset();
  }
  CHECK(vram_attach_read(lease, 0, copy.data(), 1, nullptr) == VRAM_ATTACH_OK && copy[0] == expected[0]);
  CHECK(simulator.live("cuStreamCreate") == 0 && simulator.live("*") == live);
}

TEST("closing a client ends its leases, although this process lives on") {
  const Simulator simulator;
  const WorkerProcess worker;
  const Client observer(worker.options());
  {
    const Client client(worker.options());
    (void)client.attach("s0");
    (void)client.attach("s1");
    CHECK(observer.leases() == 2);
  }
  CHECK(observer.leases() == 0);
  CHECK(simulator.live("*") == 0);
}

TEST("a shard is found by model and index, and its device by UUID") {
  const Simulator simulator;
  const WorkerProcess worker;
  const Client client(worker.options());
  vram_attach_request request = {};
  request.model_ref = "a model";
  request.shard_index = 1;
  request.gpu_uuid = kSecondUuid;
  request.expected_tree_digest = "sha256:0";
  request.max_age_seconds = 60;
  request.nonce = "n-1";
  request.label = "rank 0";
  vram_attach_lease *lease = nullptr;
  REQUIRE(vram_attach_shard(client.get(), &request, &lease, nullptr) == VRAM_ATTACH_OK);
  CHECK(client.info(lease).device == 0 && has_content(client.info(lease)));
  lease = nullptr;

  vram_attach_error error = {};
  request.gpu_uuid = kFirstUuid;
  CHECK(vram_attach_shard(client.get(), &request, &lease, &error) == VRAM_ATTACH_DEVICE_NOT_FOUND);
  request.gpu_uuid = "GPU-00000000-0000-0000-0000-000000000000";
  CHECK(vram_attach_shard(client.get(), &request, &lease, &error) == VRAM_ATTACH_DEVICE_NOT_FOUND);
  CHECK(lease == nullptr && client.leases() == 1);
}

TEST("the list of shards has all pages") {
  const WorkerProcess worker;
  const Client client(worker.options());
  std::string names;
  const auto visit = [](const vram_attach_shard_info *shard, void *context) {
    *static_cast<std::string *>(context) += std::string(shard->shard_id) + " " + std::to_string(shard->exportable) +
                                            " " + shard->state + " " + shard->model_ref + ";";
  };
  REQUIRE(vram_attach_list(client.get(), nullptr, kFirstUuid, visit, &names, nullptr) == VRAM_ATTACH_OK);
  CHECK(names == "s0 1 sealed a model;s1 1 sealed a model;leases 0 corrupt a model;");
}

TEST("an invalid answer is refused without a trace, and the next attach works") {
  const Simulator simulator;
  const WorkerProcess worker;
  const Client client(worker.options());
  const struct {
    const char *shard_id;
    vram_attach_status expected;
  } cases[] = {{"missing", VRAM_ATTACH_REFUSED},
               {"busy", VRAM_ATTACH_REFUSED},
               {"fewer", VRAM_ATTACH_PROTOCOL_ERROR},
               {"more", VRAM_ATTACH_PROTOCOL_ERROR},
               {"gap", VRAM_ATTACH_PROTOCOL_ERROR},
               {"uncovered", VRAM_ATTACH_PROTOCOL_ERROR},
               {"overflow", VRAM_ATTACH_PROTOCOL_ERROR},
               {"no-descriptors", VRAM_ATTACH_PROTOCOL_ERROR},
               {"two-devices", VRAM_ATTACH_PROTOCOL_ERROR},
               {"alien", VRAM_ATTACH_DRIVER_ERROR},
               {"garbage", VRAM_ATTACH_PROTOCOL_ERROR},
               {"empty", VRAM_ATTACH_PROTOCOL_ERROR},
               {"no-type", VRAM_ATTACH_PROTOCOL_ERROR},
               {"not-utf8", VRAM_ATTACH_PROTOCOL_ERROR},
               {"other-answer", VRAM_ATTACH_PROTOCOL_ERROR},
               {"hangup", VRAM_ATTACH_NOT_CONNECTED}};
  for (const auto &each : cases) {
    const size_t descriptors_before = open_descriptors();
    vram_attach_error error = {};
    const vram_attach_status status = try_attach(client, each.shard_id, &error);
    if (status != each.expected) {
      fail(__FILE__, __LINE__,
           std::string(each.shard_id) + ": " + vram_attach_status_name(status) + " " + error.detail);
    }
    CHECK(std::strlen(error.detail) > 0);
    CHECK((error.driver_result != 0) == (each.expected == VRAM_ATTACH_DRIVER_ERROR));
    if (client.leases() != 0) fail(__FILE__, __LINE__, std::string(each.shard_id) + " leaves a lease");
    if (simulator.live("*") != 0) fail(__FILE__, __LINE__, std::string(each.shard_id) + " leaves driver objects");
    if (open_descriptors() != descriptors_before) fail(__FILE__, __LINE__, std::string(each.shard_id) + " leaks");
    vram_attach_lease *const lease = client.attach("s1");
    CHECK(has_content(client.info(lease)));
    REQUIRE(vram_attach_detach(lease, nullptr) == VRAM_ATTACH_OK);
  }
  vram_attach_error error = {};
  CHECK(try_attach(client, "busy", &error) == VRAM_ATTACH_REFUSED);
  CHECK(std::string(error.code) == "SHARD_BUSY" && error.retriable == 1 && error.retry_after_ms == 25);
  CHECK(try_attach(client, "missing", &error) == VRAM_ATTACH_REFUSED);
  CHECK(std::string(error.code) == "NOT_FOUND" && error.retriable == 0);
}

TEST("an answer with changed bytes is refused or attached, and leaves nothing") {
  const Simulator simulator;
  const WorkerProcess worker;
  vram_attach_options options = worker.options();
  options.timeout_ms = 30;
  const Client client(options);
  const size_t descriptors_before = open_descriptors();
  int attached = 0, refused = 0;
  for (int seed = 0; seed < 300; ++seed) {
    const std::string name = "fuzz-" + std::to_string(seed);
    vram_attach_request request = {};
    request.shard_id = name.c_str();
    vram_attach_lease *lease = nullptr;
    const vram_attach_status status = vram_attach_shard(client.get(), &request, &lease, nullptr);
    if (status == VRAM_ATTACH_OK) {
      CHECK(client.info(lease).mapped_bytes == kMappedBytes);
      REQUIRE(vram_attach_detach(lease, nullptr) == VRAM_ATTACH_OK);
    }
    ++(status == VRAM_ATTACH_OK ? attached : refused);
    if (simulator.live("*") != 0) fail(__FILE__, __LINE__, name + " leaves driver objects");
  }
  if (attached < 5 || refused < 100) fail(__FILE__, __LINE__, std::to_string(attached) + " attached");
  {
    const Client other(worker.options());
    CHECK(has_content(other.info(other.attach("s0"))));
  }
  vram_attach_event event = {};
  while (vram_attach_next_event(client.get(), &event) == VRAM_ATTACH_OK) continue;
  // A connection that waits for the rest of a frame may have its descriptors.
  CHECK(open_descriptors() <= descriptors_before + 4);
}

TEST("random changes of lists and events end in a status") {
  const Simulator simulator;
  const WorkerProcess worker;
  vram_attach_options options = worker.options();
  options.timeout_ms = 30;
  const Client client(options);
  int listed = 0, refused = 0;
  for (int seed = 0; seed < 300; ++seed) {
    const std::string model = "fuzz-" + std::to_string(seed);
    const auto visit = [](const vram_attach_shard_info *shard, void *) { CHECK(std::strlen(shard->shard_id) < 1000); };
    const vram_attach_status status =
        vram_attach_list(client.get(), model.c_str(), nullptr, visit, nullptr, nullptr);
    ++(status == VRAM_ATTACH_OK ? listed : refused);
    vram_attach_event event = {};
    while (vram_attach_next_event(client.get(), &event) == VRAM_ATTACH_OK) CHECK(event.lease == nullptr);
  }
  if (listed < 5 || refused < 50) fail(__FILE__, __LINE__, std::to_string(listed) + " listed");
  const Client other(worker.options());
  CHECK(has_content(other.info(other.attach("s0"))));
}

TEST("an answer after the time-out is given back to the worker") {
  const Simulator simulator;
  const WorkerProcess worker;
  vram_attach_options options = worker.options();
  options.timeout_ms = 100;
  const Client client(options);
  const size_t descriptors_before = open_descriptors();
  vram_attach_error error = {};
  CHECK(try_attach(client, "slow", &error) == VRAM_ATTACH_TIMED_OUT);
  CHECK(error.retriable == 1);
  {
    const Client next(worker.options());  // the worker answers when it connects
    CHECK(next.leases() == 1);
    vram_attach_event event = {};
    CHECK(vram_attach_next_event(client.get(), &event) == VRAM_ATTACH_NO_EVENT);
    CHECK(next.comes_to_leases(0));
  }
  CHECK(open_descriptors() == descriptors_before && simulator.live("*") == 0);
}

TEST("a process that may open too few files can see it, and can attach after it raised the limit") {
  const Simulator simulator;
  const WorkerProcess worker;
  const Client client(worker.options());
  rlimit before = {};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const size_t descriptors_before = open_descriptors();
  const rlimit low = {limit_with_free_descriptors(2), before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
  vram_attach_error error = {};
  const vram_attach_status status = try_attach(client, "s0", &error);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(status == VRAM_ATTACH_DESCRIPTORS_LOST);
  CHECK(client.leases() == 0 && open_descriptors() == descriptors_before);
  CHECK(has_content(client.info(client.attach("s0"))));
}

TEST("a write to attached memory ends in SIGSEGV, and changes nothing") {
  const Simulator simulator;
  const WorkerProcess worker;
  const Client client(worker.options());
  const vram_attach_lease_info info = client.info(client.attach("s0"));
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL);
    *reinterpret_cast<volatile uint8_t *>(info.address) = 1;
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
  CHECK(has_content(info));
}

TEST("if any driver call of an attach fails, the failure is reported and nothing is left") {
  const Simulator simulator;
  const WorkerProcess worker;
  const Client client(worker.options());
  simulator.reset();
  REQUIRE(vram_attach_detach(client.attach("s0"), nullptr) == VRAM_ATTACH_OK);
  const uint64_t calls = simulator.calls("*");
  REQUIRE(calls > 20);
  for (uint64_t call = 1; call <= calls; ++call) {
    const size_t descriptors_before = open_descriptors();
    simulator.reset();
    simulator.set("FAULTS", "*:" + std::to_string(call) + "=999");
    vram_attach_request request = {};
    request.shard_id = "s0";
    vram_attach_lease *lease = nullptr;
    vram_attach_error error = {};
    const vram_attach_status status = vram_attach_shard(client.get(), &request, &lease, &error);
    if (status == VRAM_ATTACH_OK) {
      // The call that fails belongs to the detach. The lease stays, and a second call ends it.
      const vram_attach_status detached = vram_attach_detach(lease, &error);
      if (detached != VRAM_ATTACH_OK) {
        CHECK(detached == VRAM_ATTACH_DRIVER_ERROR);
        CHECK(vram_attach_detach(lease, nullptr) == VRAM_ATTACH_OK);
      }
    } else {
      CHECK(status == VRAM_ATTACH_DRIVER_ERROR && error.driver_result == 999);
    }
    simulator.reset();
    const std::string name = "call " + std::to_string(call);
    if (client.leases() != 0) fail(__FILE__, __LINE__, name + " leaves a lease");
    if (simulator.live("*") != 0) fail(__FILE__, __LINE__, name + " leaves driver objects");
    if (open_descriptors() != descriptors_before) fail(__FILE__, __LINE__, name + " leaks descriptors");
  }
}

}  // namespace test
