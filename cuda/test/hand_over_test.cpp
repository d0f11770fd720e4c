/** vram_hand_over, vram_adopt and vram_leave inside one process; attach_process_test.cpp has the other processes. */
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "content.h"
#include "descriptors.h"
#include "harness.h"
#include "model_directory.h"
#include "session.h"
#include "sim_driver.h"
#include "simulator.h"

namespace test {
namespace {

constexpr char kFrame[] = "type=attached\n";
constexpr uint64_t kFrameBytes = sizeof(kFrame) - 1;

Received hand_over(uint64_t allocation) {
  const SocketPair sockets;
  uint64_t sent = 0;
  REQUIRE_OK(vram_hand_over(allocation, sockets.ours.get(), kFrame, kFrameBytes, &sent));
  REQUIRE(sent == kFrameBytes);
  return receive(sockets.peers);
}

vram_allocation_info info_of(uint64_t allocation) {
  vram_allocation_info info = {};
  REQUIRE_OK(vram_allocation_get_info(allocation, &info));
  return info;
}

/** Adopts the memory of an allocation from its descriptors. */
uint64_t adopt(const Session &session, const vram_allocation_info &info, const Received &received) {
  const std::vector<int32_t> numbers = received.numbers();
  uint64_t adopted = 0;
  REQUIRE_OK(vram_adopt(session.driver(), info.device, info.bytes, info.part_bytes, numbers.data(),
                        static_cast<uint32_t>(numbers.size()), &adopted));
  return adopted;
}

/** The bytes of handed over memory, read without a driver. */
std::vector<uint8_t> bytes_of(const Received &received) {
  std::vector<uint8_t> bytes;
  for (const Descriptor &part : received.descriptors) {
    const off_t length = lseek(part.get(), 0, SEEK_END);
    REQUIRE(length > 0);
    const size_t start = bytes.size();
    bytes.resize(start + static_cast<size_t>(length));
    REQUIRE(pread(part.get(), bytes.data() + start, static_cast<size_t>(length), 0) == length);
  }
  return bytes;
}

}  // namespace

TEST("handed over memory arrives with the first byte of the frame, and can be adopted and digested") {
  const Simulator simulator;
  const Session session;
  const std::vector<uint8_t> data = content(2 * kPartBytes + 4097);
  const uint64_t allocation = session.seal_exportable(1, data);
  CHECK(info_of(allocation).exportable == 1 && info_of(allocation).exported == 0);
  const size_t descriptors_before = open_descriptors();
  {
    const Received received = hand_over(allocation);
    CHECK(received.bytes == kFrame && !received.truncated);
    CHECK(received.descriptors.size() == 3);
    CHECK(open_descriptors() == descriptors_before + 3);
    const vram_allocation_info info = info_of(allocation);
    CHECK(info.exported == 1 && info.part_bytes == kPartBytes && info.mapped_bytes == 3 * kPartBytes);

    const uint64_t free_before = session.info(1).free_bytes;
    const uint64_t adopted = adopt(session, info, received);
    CHECK(session.info(1).free_bytes == free_before);
    const vram_allocation_info same = info_of(adopted);
    CHECK(same.bytes == info.bytes && same.mapped_bytes == info.mapped_bytes && same.part_bytes == info.part_bytes);
    CHECK(same.device == 1 && same.sealed == 1 && same.exportable == 1 && same.exported == 1);
    CHECK(device_tree_digest(adopted) == device_tree_digest(allocation));
    vram_residency residency = {};
    REQUIRE_OK(vram_attest(adopted, &residency));
    CHECK(residency.sealed == 1 && residency.violations == 0);
    uint8_t byte = 0;
    CHECK_STATUS(VRAM_SEALED, vram_write(adopted, 0, &byte, 1));
    CHECK_STATUS(VRAM_SEALED, vram_read(adopted, 0, &byte, 1));

    // Adopted memory can be handed over again.
    CHECK(bytes_of(hand_over(adopted)) == bytes_of(received));
    REQUIRE_OK(vram_leave(adopted));
    CHECK_STATUS(VRAM_STALE_HANDLE, vram_allocation_get_info(adopted, const_cast<vram_allocation_info *>(&info)));
    CHECK_STATUS(VRAM_OK, vram_leave(adopted));
  }
  CHECK(device_tree_digest(allocation) == device_tree_digest(session.seal_exportable(0, data)));
}

TEST("only sealed memory that was allocated for export can be handed over or left") {
  const Session session;
  const SocketPair sockets;
  uint64_t sent = 0;
  const size_t descriptors_before = open_descriptors();
  const uint64_t plain = session.alloc(0, kMiB, 0), open = session.alloc(0, kMiB, VRAM_ALLOC_EXPORTABLE);
  REQUIRE_OK(vram_seal(plain));
  CHECK_STATUS(VRAM_NOT_EXPORTABLE, vram_hand_over(plain, sockets.ours.get(), kFrame, kFrameBytes, &sent));
  CHECK_STATUS(VRAM_NOT_SEALED, vram_hand_over(open, sockets.ours.get(), kFrame, kFrameBytes, &sent));
  REQUIRE_OK(vram_seal(open));
  for (const uint64_t allocation : {plain, open}) CHECK_STATUS(VRAM_NOT_EXPORTED, vram_leave(allocation));
  CHECK(sent == 0);
  REQUIRE_OK(vram_free(plain));
  REQUIRE_OK(vram_free(open));
  CHECK(open_descriptors() == descriptors_before);
}

TEST("a full socket takes nothing, and a frame that fits in part is continued without descriptors") {
  const Simulator simulator;
  const Session session;
  const uint64_t allocation = session.seal_exportable(0, content(kMiB));
  const SocketPair sockets;
  const std::string filler(1 << 20, 'f');
  const size_t descriptors_before = open_descriptors();
  size_t filled = 0;
  for (ssize_t sent = 0; sent >= 0; filled += static_cast<size_t>(std::max<ssize_t>(sent, 0))) {
    sent = send(sockets.ours.get(), filler.data(), filler.size(), MSG_DONTWAIT);
  }
  uint64_t sent = 7;
  CHECK_STATUS(VRAM_WOULD_BLOCK, vram_hand_over(allocation, sockets.ours.get(), kFrame, kFrameBytes, &sent));
  CHECK(sent == 7 && info_of(allocation).exported == 0);
  CHECK(open_descriptors() == descriptors_before);
  while (filled != 0) {
    const Received drained = receive(sockets.peers);
    CHECK(drained.descriptors.empty());
    filled -= drained.bytes.size();
  }

  // The frame is larger than the socket's buffer: the descriptors come with its first byte, and never again.
  REQUIRE_OK(vram_hand_over(allocation, sockets.ours.get(), filler.data(), filler.size(), &sent));
  CHECK(sent > 0 && sent < filler.size());
  CHECK(info_of(allocation).exported == 1 && open_descriptors() == descriptors_before);
  Received first = receive(sockets.peers);
  CHECK(first.descriptors.size() == 1);
  for (uint64_t got = first.bytes.size(); got < sent;) {
    const Received rest = receive(sockets.peers);
    CHECK(rest.descriptors.empty());
    got += rest.bytes.size();
  }
}

TEST("a hand-over over a closed or wrong socket fails, and leaks nothing") {
  const Session session;
  const uint64_t allocation = session.seal_exportable(0, content(kMiB));
  SocketPair sockets;
  const size_t descriptors_before = open_descriptors();
  const Descriptor null(open("/dev/null", O_RDWR | O_CLOEXEC)), unconnected(socket(AF_UNIX, SOCK_STREAM, 0));
  uint64_t sent = 0;
  for (const int wrong : {-1, 1 << 20, null.get(), unconnected.get()}) {
    CHECK_STATUS(VRAM_SOCKET_CLOSED, vram_hand_over(allocation, wrong, kFrame, kFrameBytes, &sent));
  }
  CHECK(open_descriptors() == descriptors_before + 2);
  sockets.peers.reset();
  CHECK_STATUS(VRAM_SOCKET_CLOSED, vram_hand_over(allocation, sockets.ours.get(), kFrame, kFrameBytes, &sent));
  CHECK(sent == 0 && info_of(allocation).exported == 0);
  CHECK(open_descriptors() == descriptors_before + 1);
}

TEST("a receiver with too few free descriptors gets some of them and can see it") {
  const Simulator simulator;
  const Session session;
  const uint64_t allocation = session.seal_exportable(0, content(4 * kPartBytes));
  const SocketPair sockets;
  uint64_t sent = 0;
  REQUIRE_OK(vram_hand_over(allocation, sockets.ours.get(), kFrame, kFrameBytes, &sent));
  rlimit before = {};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const Descriptor next(dup(sockets.peers.get()));
  const rlimit low = {static_cast<rlim_t>(next.get() + 3), before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_NOFILE, &low) == 0);
  const Received received = receive(sockets.peers);
  REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(received.truncated && received.descriptors.size() == 2 && received.bytes == kFrame);
}

TEST("the largest number of parts is handed over in one message") {
  const Simulator simulator;
  const Session session;
  const vram_device_info device = session.info(0);
  const uint64_t bytes = 2 * VRAM_MAX_PARTS * kPartBytes - 1;
  if (device.free_bytes < bytes) SKIP("needs a larger device");
  const uint64_t allocation = session.alloc(0, bytes, VRAM_ALLOC_EXPORTABLE);
  REQUIRE_OK(vram_seal(allocation));
  const Received received = hand_over(allocation);
  const vram_allocation_info info = info_of(allocation);
  CHECK(received.descriptors.size() == (info.mapped_bytes + info.part_bytes - 1) / info.part_bytes);
  CHECK(received.descriptors.size() > VRAM_MAX_PARTS / 2);
  const uint64_t adopted = adopt(session, info, received);
  CHECK(info_of(adopted).part_bytes == info.part_bytes);
}

TEST("vram_free wipes all of exported memory, also its padding; vram_leave leaves it") {
  const Simulator simulator;
  const std::vector<uint8_t> data = content(kPartBytes + 5);
  const Session session;
  const uint64_t freed = session.seal_exportable(0, data), left = session.seal_exportable(0, data);
  const Received of_freed = hand_over(freed), of_left = hand_over(left);
  const uint64_t adopted = adopt(session, info_of(left), of_left);
  for (const Received *each : {&of_freed, &of_left}) {
    REQUIRE(pwrite(each->descriptors[1].get(), "padding", 7, kPartBytes - 7) == 7);
    CHECK(bytes_of(*each).size() == 2 * kPartBytes);
  }
  const std::vector<uint8_t> kept = bytes_of(of_left);
  CHECK(std::equal(data.begin(), data.end(), kept.begin()));
  REQUIRE_OK(vram_free(freed));
  REQUIRE_OK(vram_leave(left));
  CHECK(bytes_of(of_freed) == std::vector<uint8_t>(2 * kPartBytes, 0));
  CHECK(bytes_of(of_left) == kept);
  REQUIRE_OK(vram_free(adopted));
  CHECK(bytes_of(of_left) == std::vector<uint8_t>(2 * kPartBytes, 0));
}

TEST("vram_adopt refuses descriptors that are not exported memory, or memory of another device") {
  const Simulator simulator;
  const Session session;
  const uint64_t allocation = session.seal_exportable(0, content(kPartBytes + 1));
  const vram_allocation_info info = info_of(allocation);
  const size_t descriptors_before = open_descriptors();
  {
    const Received received = hand_over(allocation);
    const std::vector<int32_t> good = received.numbers();
    const Descriptor null(open("/dev/null", O_RDWR | O_CLOEXEC));
    const uint64_t live_before = simulator.live("*");
    uint64_t adopted = 0;
    for (const int32_t wrong : {null.get(), -1}) {
      for (const std::vector<int32_t> &numbers : {std::vector<int32_t>{wrong, good[1]}, {good[0], wrong}}) {
        CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + CUDA_ERROR_INVALID_VALUE,
                     vram_adopt(session.driver(), 0, info.bytes, info.part_bytes, numbers.data(), 2, &adopted));
      }
    }
    CHECK_STATUS(VRAM_POLICY_VIOLATION,
                 vram_adopt(session.driver(), 1, info.bytes, info.part_bytes, good.data(), 2, &adopted));
    CHECK(adopted == 0 && simulator.live("*") == live_before);
    CHECK(bytes_of(received) != std::vector<uint8_t>(2 * kPartBytes, 0));
  }
  CHECK(open_descriptors() == descriptors_before);
}

TEST("an adopted shard is repaired and digested as the owner's own is") {
  const Simulator simulator;
  const Session session;
  const std::vector<uint8_t> data = content(kPartBytes + 4097);
  const uint64_t allocation = session.seal_exportable(0, data);
  const std::string digest = device_tree_digest(allocation);
  const Received received = hand_over(allocation);
  const uint64_t adopted = adopt(session, info_of(allocation), received);
  REQUIRE_OK(vram_leave(allocation));
  std::vector<uint8_t> hashes((data.size() + VRAM_GROUP_BYTES - 1) / VRAM_GROUP_BYTES * VRAM_DIGEST_BYTES);
  REQUIRE_OK(vram_digest(adopted, 0, data.size(), hashes.data(), hashes.size()));

  REQUIRE(pwrite(received.descriptors[0].get(), "damage", 6, VRAM_GROUP_BYTES + 9) == 6);
  CHECK(device_tree_digest(adopted) != digest);
  const ModelFile file(data);
  REQUIRE_OK(repair_whole(adopted, file.file(), 0, data.size(), hashes.data(), hashes.size()));
  CHECK(device_tree_digest(adopted) == digest && info_of(adopted).sealed == 1);
}

TEST("an importer that maps the memory writable can write it, and the owner's next digest differs") {
  const Simulator simulator;
  const Session session;
  const uint64_t allocation = session.seal_exportable(0, content(kPartBytes));
  const std::string digest = device_tree_digest(allocation);
  const Received received = hand_over(allocation);

  const SimDriver importer{{"DEVICES", "8MiB"}};
  importer.start();
  CUmemGenericAllocationHandle handle = 0;
  void *const os_handle = reinterpret_cast<void *>(static_cast<intptr_t>(received.descriptors[0].get()));
  REQUIRE_CU(importer.cuMemImportFromShareableHandle(&handle, os_handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
  const SimMemory memory(importer, 0, kSimGranule, handle);
  CHECK(device_tree_digest(allocation) == digest);
  CHECK_CU(CUDA_SUCCESS, memory.write("x", 1));
  CHECK(device_tree_digest(allocation) != digest);
  vram_residency residency = {};
  CHECK_STATUS(VRAM_OK, vram_attest(allocation, &residency));
}

TEST("a device that cannot export says so, and still provides memory that is not exportable") {
  const Simulator simulator;
  const struct {
    const char *setting, *value;
    vram_status expected;
  } cases[] = {
      {"SPOOFS", "export=0", VRAM_NOT_EXPORTABLE},
      {"FAULTS", "cuMemCreate:2=801", VRAM_DRIVER_ERROR_BASE + CUDA_ERROR_NOT_SUPPORTED},
      {"FAULTS", "cuMemExportToShareableHandle:1=801", VRAM_DRIVER_ERROR_BASE + CUDA_ERROR_NOT_SUPPORTED},
      {"FAULTS", "cuMemImportFromShareableHandle:1=801", VRAM_DRIVER_ERROR_BASE + CUDA_ERROR_NOT_SUPPORTED},
      {"FAULTS", "cuMemGetAllocationPropertiesFromHandle:1=801", VRAM_DRIVER_ERROR_BASE + CUDA_ERROR_NOT_SUPPORTED},
  };
  const size_t descriptors_before = open_descriptors();
  for (const auto &each : cases) {
    simulator.reset();
    simulator.set(each.setting, each.value);
    const Session session;
    (void)check_status(__FILE__, __LINE__, each.expected, session.info(0).export_status, each.value);
    uint64_t allocation = 0;
    CHECK_STATUS(VRAM_NOT_EXPORTABLE, vram_alloc(session.driver(), 0, 1, VRAM_ALLOC_EXPORTABLE, &allocation));
    REQUIRE_OK(vram_alloc(session.driver(), 0, 1, 0, &allocation));
    CHECK(info_of(allocation).exportable == 0);
    if (std::string(each.setting) == "FAULTS") CHECK(session.info(1).export_status == VRAM_OK);
  }
  CHECK(open_descriptors() == descriptors_before);
  simulator.reset();
  CHECK(Session().info(0).export_status == VRAM_OK);
}

TEST("a device that was too full for the probe is tried again by the next exportable vram_alloc") {
  const Simulator simulator;
  simulator.set("FAULTS", "cuMemCreate:2=2");
  const Session session;
  CHECK(session.info(0).export_status == VRAM_OUT_OF_MEMORY);
  uint64_t allocation = 0;
  simulator.set("FAULTS", "cuMemCreate:1=2");
  CHECK_STATUS(VRAM_OUT_OF_MEMORY, vram_alloc(session.driver(), 0, 1, VRAM_ALLOC_EXPORTABLE, &allocation));
  REQUIRE_OK(vram_alloc(session.driver(), 0, 1, VRAM_ALLOC_EXPORTABLE, &allocation));
  CHECK(session.info(0).export_status == VRAM_OK);
}

TEST("a failed vram_leave continues where it stopped, and never wipes") {
  const Simulator simulator;
  const Session session;
  const uint64_t allocation = session.seal_exportable(0, content(kMiB));
  const Received received = hand_over(allocation);
  const std::vector<uint8_t> bytes = bytes_of(received);
  uint8_t byte = 0;
  for (const char *step : {"cuMemUnmap", "cuMemAddressFree", "cuMemRelease"}) {
    simulator.set("FAULTS", std::string(step) + ":1=999");
    CHECK_STATUS(VRAM_DRIVER_ERROR_BASE + CUDA_ERROR_UNKNOWN, vram_leave(allocation));
    CHECK_STATUS(VRAM_STALE_HANDLE, vram_read(allocation, 0, &byte, 1));
  }
  CHECK_STATUS(VRAM_OK, vram_free(allocation));
  CHECK(bytes_of(received) == bytes);
}

}  // namespace test
