#include "device_hasher.h"

#include <algorithm>
#include <cstring>

#include "../kernels/tree_level.h"
#include "tree.h"

namespace vram {
namespace {

// Bytes per launch of level 0. The scratch memory of a lane holds the leaf hashes of one segment, then its group hashes.
constexpr uint64_t kSegmentBytes = uint64_t{1} << 29;
constexpr uint64_t kLeafBytes = kSegmentBytes / kBlockBytes * kDigestBytes;
constexpr uint64_t kGroupHashBytes = kSegmentBytes / kGroupBytes * kDigestBytes;
constexpr uint64_t kLaneBytes = kLeafBytes + kGroupHashBytes;

}  // namespace

vram_status DeviceHasher::create(int device, uint64_t granularity_bytes, CUfunction kernel) {
  kernel_ = kernel;
  for (Lane &lane : lanes_) VRAM_TRY(lane.stream.create(kGroupHashBytes));
  const uint64_t scratch_bytes = round_up(lanes_.size() * kLaneBytes, granularity_bytes);
  VRAM_TRY(create_mapped({device, scratch_bytes, scratch_bytes}, memory_, scratch_));
  for (size_t i = 0; i < lanes_.size(); ++i) lanes_[i].leaves = scratch_.address() + i * kLaneBytes;
  return VRAM_OK;
}

vram_status DeviceHasher::release() {
  for (Lane &lane : lanes_) VRAM_TRY(lane.stream.release());
  VRAM_TRY(scratch_.release());
  return memory_.release();
}

vram_status DeviceHasher::digest(CUdeviceptr address, uint64_t bytes, bool one_block, uint8_t *out_hashes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  vram_status status = VRAM_OK;
  for (uint64_t done = 0; done < bytes && status == VRAM_OK; done += kSegmentBytes) {
    Lane &lane = lanes_[done / kSegmentBytes % lanes_.size()];
    status = finish_segment(lane);
    if (status != VRAM_OK) break;
    lane.out_hashes = out_hashes + done / kGroupBytes * kDigestBytes;
    status = start_segment(lane, address + done, std::min(bytes - done, kSegmentBytes), one_block);
  }
  return first_failure(status, finish_all());
}

vram_status DeviceHasher::synchronize() {
  const std::lock_guard<std::mutex> lock(mutex_);
  vram_status status = VRAM_OK;
  for (Lane &lane : lanes_) status = first_failure(status, lane.stream.synchronize());
  return status;
}

vram_status DeviceHasher::start_segment(Lane &lane, CUdeviceptr address, uint64_t bytes, bool one_block) {
  lane.hash_bytes = group_count(bytes) * kDigestBytes;
  const CUdeviceptr groups = one_block ? lane.leaves : lane.leaves + kLeafBytes;
  return lane.stream.start([&](CUstream stream) -> vram_status {
    VRAM_TRY(launch(address, bytes, lane.leaves, stream));
    if (!one_block) VRAM_TRY(launch(lane.leaves, block_count(bytes) * kDigestBytes, groups, stream));
    return from_driver(driver_.cuMemcpyDtoHAsync_v2(lane.stream.buffer(), groups, lane.hash_bytes, stream));
  });
}

vram_status DeviceHasher::finish_segment(Lane &lane) {
  uint8_t *const out_hashes = lane.out_hashes;
  lane.out_hashes = nullptr;
  VRAM_TRY(lane.stream.synchronize());
  if (out_hashes != nullptr) std::memcpy(out_hashes, lane.stream.buffer(), lane.hash_bytes);
  return VRAM_OK;
}

vram_status DeviceHasher::finish_all() {
  vram_status status = VRAM_OK;
  for (Lane &lane : lanes_) status = first_failure(status, finish_segment(lane));
  return status;
}

vram_status DeviceHasher::launch(CUdeviceptr input, uint64_t bytes, CUdeviceptr output, CUstream stream) {
  void *parameters[] = {&input, &bytes, &output};
  const unsigned grid = tree_level::grid_size(bytes);
  return from_driver(
      driver_.cuLaunchKernel(kernel_, grid, 1, 1, tree_level::kThreads, 1, 1, 0, stream, parameters, nullptr));
}

}  // namespace vram
