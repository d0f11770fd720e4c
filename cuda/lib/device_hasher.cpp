#include "device_hasher.h"

#include <algorithm>

#include "../kernels/tree_level.h"
#include "tree.h"

namespace vram {
namespace {

// Bytes per launch. The scratch memory holds the leaf hashes of one segment, then its group hashes.
constexpr uint64_t kSegmentBytes = uint64_t{1} << 30;
constexpr uint64_t kLeafBytes = kSegmentBytes / kBlockBytes * kDigestBytes;
constexpr uint64_t kGroupHashBytes = kSegmentBytes / kGroupBytes * kDigestBytes;

}  // namespace

vram_status DeviceHasher::create(int device, uint64_t granularity_bytes, CUfunction kernel) {
  kernel_ = kernel;
  VRAM_TRY(stream_.create(kGroupHashBytes));
  const uint64_t scratch_bytes = round_up(kLeafBytes + kGroupHashBytes, granularity_bytes);
  return create_mapped(device, scratch_bytes, scratch_bytes, memory_, scratch_);
}

vram_status DeviceHasher::release() {
  VRAM_TRY(stream_.release());
  VRAM_TRY(scratch_.release());
  return memory_.release();
}

vram_status DeviceHasher::digest(CUdeviceptr address, uint64_t bytes, bool one_block, uint8_t *out_hashes) {
  const std::lock_guard<std::mutex> lock(stream_.mutex());
  for (uint64_t done = 0; done < bytes; done += kSegmentBytes) {
    const uint64_t segment_bytes = std::min(bytes - done, kSegmentBytes);
    uint8_t *segment_hashes = out_hashes + done / kGroupBytes * kDigestBytes;
    VRAM_TRY(digest_segment(address + done, segment_bytes, one_block, segment_hashes));
  }
  return VRAM_OK;
}

vram_status DeviceHasher::synchronize() {
  const std::lock_guard<std::mutex> lock(stream_.mutex());
  return stream_.synchronize();
}

vram_status DeviceHasher::digest_segment(CUdeviceptr address, uint64_t bytes, bool one_block, uint8_t *out_hashes) {
  const CUdeviceptr leaves = scratch_.address();
  const CUdeviceptr groups = one_block ? leaves : leaves + kLeafBytes;
  VRAM_TRY(stream_.run([&](CUstream stream) -> vram_status {
    VRAM_TRY(launch(address, bytes, leaves, stream));
    return one_block ? VRAM_OK : launch(leaves, block_count(bytes) * kDigestBytes, groups, stream);
  }));
  return stream_.copy_out(out_hashes, groups, group_count(bytes) * kDigestBytes);
}

vram_status DeviceHasher::launch(CUdeviceptr input, uint64_t bytes, CUdeviceptr output, CUstream stream) {
  void *parameters[] = {&input, &bytes, &output};
  const unsigned grid = tree_level::grid_size(bytes);
  return from_driver(
      driver_.cuLaunchKernel(kernel_, grid, 1, 1, tree_level::kThreads, 1, 1, 0, stream, parameters, nullptr));
}

}  // namespace vram
