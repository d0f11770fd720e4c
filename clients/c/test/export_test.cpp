/** Tensors for array libraries, and leases that end without waiting. */
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "../../../cuda/test/content.h"
#include "../../../cuda/test/harness.h"
#include "../src/dlpack.h"
#include "simulator.h"
#include "worker_process.h"

namespace test {
namespace {

using vram_attach::DLManagedTensor;
using vram_attach::DLManagedTensorVersioned;

constexpr uint64_t kShardBytes = 3 * (uint64_t{2} << 20) + 4097;

vram_attach_client *connect(const WorkerProcess &worker) {
  const vram_attach_options options = worker.options();
  vram_attach_client *client = nullptr;
  REQUIRE(vram_attach_connect(&options, &client, nullptr) == VRAM_ATTACH_OK);
  return client;
}

vram_attach_lease *attach(vram_attach_client *client) {
  vram_attach_request request = {};
  request.shard_id = "s0";
  vram_attach_lease *lease = nullptr;
  REQUIRE(vram_attach_shard(client, &request, &lease, nullptr) == VRAM_ATTACH_OK);
  return lease;
}

template <typename Managed>
Managed *export_bytes(vram_attach_lease *lease, bool versioned) {
  const int64_t shape[2] = {3, 1000};
  const vram_attach_tensor tensor = {4096, shape, 2, 1, 8, static_cast<uint8_t>(versioned ? 1 : 0), 0};
  void *out = nullptr;
  REQUIRE(vram_attach_export(lease, &tensor, &out, nullptr) == VRAM_ATTACH_OK);
  return static_cast<Managed *>(out);
}

}  // namespace

TEST("an exported tensor keeps the memory after its lease and its client, until it is deleted") {
  const Simulator simulator;
  const WorkerProcess worker;
  const Client observer(worker.options());
  const std::vector<uint8_t> expected = content(kShardBytes);
  for (const bool detached : {true, false}) {
    vram_attach_client *const client = connect(worker);
    vram_attach_lease *const lease = attach(client);
    auto *const first = export_bytes<DLManagedTensor>(lease, false);
    auto *const second = export_bytes<DLManagedTensorVersioned>(lease, true);
    if (detached) CHECK(vram_attach_detach(lease, nullptr) == VRAM_ATTACH_OK);
    vram_attach_close(client);
    CHECK(std::memcmp(first->dl_tensor.data, expected.data() + 4096, 3000) == 0);
    first->deleter(first);
    CHECK(observer.leases() == 1);
    CHECK(std::memcmp(second->dl_tensor.data, expected.data() + 4096, 3000) == 0);
    second->deleter(second);
    CHECK(observer.comes_to_leases(0) && simulator.live("*") == 0);
  }
}

TEST("an exported tensor has the layout of DLPack, and says that it is read-only") {
  const WorkerProcess worker;
  const Client client(worker.options());
  vram_attach_lease *const lease = client.attach("s0");
  auto *const managed = export_bytes<DLManagedTensorVersioned>(lease, true);
  CHECK(managed->version.major == 1 && managed->flags == 1);
  const vram_attach::DLTensor &tensor = managed->dl_tensor;
  CHECK(tensor.device.device_type == vram_attach::kDLCPU && tensor.device.device_id == 0);
  CHECK(tensor.ndim == 2 && tensor.shape[0] == 3 && tensor.shape[1] == 1000);
  CHECK(tensor.strides[0] == 1000 && tensor.strides[1] == 1 && tensor.byte_offset == 0);
  CHECK(tensor.dtype.code == 1 && tensor.dtype.bits == 8 && tensor.dtype.lanes == 1);
  managed->deleter(managed);
}

TEST("a tensor that the shard does not have is refused") {
  const WorkerProcess worker;
  const Client client(worker.options());
  vram_attach_lease *const lease = client.attach("s0");
  const auto status = [&](uint64_t offset, std::vector<int64_t> shape, uint8_t bits) {
    const vram_attach_tensor tensor = {offset, shape.data(), static_cast<int32_t>(shape.size()), 1, bits, 0, 0};
    void *out = nullptr;
    const vram_attach_status result = vram_attach_export(lease, &tensor, &out, nullptr);
    if (out != nullptr) static_cast<DLManagedTensor *>(out)->deleter(static_cast<DLManagedTensor *>(out));
    return result;
  };
  const auto all = static_cast<int64_t>(kShardBytes);
  CHECK(status(0, {all}, 8) == VRAM_ATTACH_OK);
  CHECK(status(kShardBytes, {0}, 8) == VRAM_ATTACH_OK);
  CHECK(status(0, {}, 32) == VRAM_ATTACH_OK);
  CHECK(status(0, {3}, 4) == VRAM_ATTACH_OK);
  CHECK(status(0, {all + 1}, 8) == VRAM_ATTACH_INVALID_ARGUMENT);
  CHECK(status(1, {all}, 8) == VRAM_ATTACH_INVALID_ARGUMENT);
  CHECK(status(kShardBytes - 1, {3}, 4) == VRAM_ATTACH_INVALID_ARGUMENT);
  CHECK(status(UINT64_MAX, {1}, 8) == VRAM_ATTACH_INVALID_ARGUMENT);
  CHECK(status(0, {-1}, 8) == VRAM_ATTACH_INVALID_ARGUMENT);
  CHECK(status(0, {INT64_MAX, INT64_MAX}, 8) == VRAM_ATTACH_INVALID_ARGUMENT);
  CHECK(status(0, {int64_t{1} << 62, 4, 0}, 8) == VRAM_ATTACH_INVALID_ARGUMENT);
  CHECK(status(0, {int64_t{1} << 61}, 8) == VRAM_ATTACH_INVALID_ARGUMENT);
  CHECK(status(0, {1}, 0) == VRAM_ATTACH_INVALID_ARGUMENT);
  CHECK(status(0, std::vector<int64_t>(65, 1), 8) == VRAM_ATTACH_INVALID_ARGUMENT);
  CHECK(vram_attach_export(lease, nullptr, nullptr, nullptr) == VRAM_ATTACH_INVALID_ARGUMENT);
}

TEST("a release does not wait for another thread's call, which detaches the lease at its end") {
  const Simulator simulator;
  const WorkerProcess worker;
  const Client observer(worker.options());
  const Client client(worker.options());
  vram_attach_lease *const lease = client.attach("s0");
  vram_attach_lease *slow = nullptr;
  std::atomic<bool> answered = false;
  std::thread thread([&] {
    slow = client.attach("slow");
    answered = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  vram_attach_release(lease);
  vram_attach_release(nullptr);
  CHECK(!answered);
  vram_attach_close(connect(worker));  // the worker then answers the slow call
  thread.join();
  CHECK(observer.comes_to_leases(1));
  vram_attach_release(slow);
  CHECK(observer.comes_to_leases(0) && simulator.live("*") == 0);
}

TEST("the visitor of a list may call the library") {
  const WorkerProcess worker;
  const Client client(worker.options());
  const auto visit = [](const vram_attach_shard_info *, void *context) {
    vram_attach_worker described = {};
    CHECK(vram_attach_get_worker(static_cast<vram_attach_client *>(context), &described) == VRAM_ATTACH_OK);
  };
  CHECK(vram_attach_list(client.get(), nullptr, nullptr, visit, client.get(), nullptr) == VRAM_ATTACH_OK);
}

#if !defined(__SANITIZE_THREAD__)
TEST("a child process reads the memory, but cannot use or end the leases of its parent") {
  const WorkerProcess worker;
  const Client client(worker.options());
  vram_attach_lease *const lease = client.attach("s0");
  vram_attach_lease *const other = client.attach("s1");
  auto *const tensor = export_bytes<DLManagedTensor>(lease, false);
  const std::vector<uint8_t> expected = content(kShardBytes);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    uint8_t byte = 0;
    bool right = std::memcmp(tensor->dl_tensor.data, expected.data() + 4096, 3000) == 0;
    right = right && vram_attach_read(lease, 0, &byte, 1, nullptr) == VRAM_ATTACH_INVALID_ARGUMENT;
    right = right && vram_attach_detach(lease, nullptr) == VRAM_ATTACH_INVALID_ARGUMENT;
    vram_attach_release(other);
    tensor->deleter(tensor);
    vram_attach_close(client.get());
    _exit(right ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  CHECK(client.leases() == 2 && client.info(lease).state == VRAM_ATTACH_ACTIVE);
  tensor->deleter(tensor);
}
#endif

}  // namespace test
