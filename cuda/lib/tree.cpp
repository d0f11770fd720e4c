#include "tree.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace vram {
namespace {

void store_little_endian(uint64_t value, uint8_t *bytes) {
  for (size_t i = 0; i < sizeof(value); ++i) bytes[i] = static_cast<uint8_t>(value >> (8 * i));
}

/** SHA-256 of the fs-verity descriptor: root hash, tree parameters and length of the data. */
void digest_descriptor(const uint8_t *root, uint64_t bytes, uint8_t *out_digest) {
  constexpr uint8_t kVersion = 1, kAlgorithmSha256 = 1, kLogBlockBytes = 12;
  uint8_t descriptor[256] = {kVersion, kAlgorithmSha256, kLogBlockBytes};
  store_little_endian(bytes, descriptor + 8);
  std::memcpy(descriptor + 16, root, kDigestBytes);

  Sha256 hash;
  hash.update(descriptor, sizeof(descriptor));
  hash.finish(out_digest);
}

}  // namespace

void hash_group(const uint8_t *data, uint64_t bytes, bool one_block, uint8_t *out_hash) {
  if (one_block) return hash_blocks(data, bytes, out_hash);
  uint8_t leaves[kGroupBlocks * kDigestBytes];
  hash_blocks(data, bytes, leaves);
  hash_blocks(leaves, block_count(bytes) * kDigestBytes, out_hash);
}

void fold_groups(const uint8_t *group_hashes, uint64_t bytes, uint8_t *out_digest) {
  const uint8_t no_root[kDigestBytes] = {};
  if (bytes == 0) return digest_descriptor(no_root, 0, out_digest);

  std::vector<uint8_t> level;
  const uint8_t *hashes = group_hashes;
  for (uint64_t count = group_count(bytes); count > 1;) {
    const uint64_t level_bytes = count * kDigestBytes;
    count = block_count(level_bytes);
    std::vector<uint8_t> above(count * kDigestBytes);
    hash_blocks(hashes, level_bytes, above.data());
    level.swap(above);
    hashes = level.data();
  }
  digest_descriptor(hashes, bytes, out_digest);
}

void TreeHasher::update(const uint8_t *data, uint64_t bytes, Sha256 *message) {
  const uint64_t held = total_bytes_ % kBlockBytes;
  total_bytes_ += bytes;
  if (held != 0) {
    const uint64_t taken = std::min(kBlockBytes - held, bytes);
    std::memcpy(block_ + held, data, taken);
    if (message != nullptr) message->update(data, taken);
    if (held + taken < kBlockBytes) return;
    add_blocks(block_, kBlockBytes, nullptr);
    data += taken;
    bytes -= taken;
  }
  const uint64_t rest = bytes % kBlockBytes;
  add_blocks(data, bytes - rest, message);
  if (rest == 0) return;
  std::memcpy(block_, data + (bytes - rest), rest);
  if (message != nullptr) message->update(data + (bytes - rest), rest);
}

void TreeHasher::add_blocks(const uint8_t *data, uint64_t bytes, Sha256 *message) {
  while (bytes != 0) {
    if (leaf_count_ == kGroupBlocks) close_group();
    const uint64_t taken = std::min((kGroupBlocks - leaf_count_) * kBlockBytes, bytes);
    uint8_t *const leaves = leaves_ + leaf_count_ * kDigestBytes;
    if (message != nullptr) {
      message->update_and_hash_blocks(data, taken / kBlockBytes, leaves);
    } else {
      hash_blocks(data, taken, leaves);
    }
    leaf_count_ += block_count(taken);
    data += taken;
    bytes -= taken;
  }
}

void TreeHasher::close_group() {
  const size_t end = groups_.size();
  groups_.resize(end + kDigestBytes);
  hash_blocks(leaves_, leaf_count_ * kDigestBytes, groups_.data() + end);
  leaf_count_ = 0;
}

void TreeHasher::reserve(uint64_t bytes) {
  // The group in progress, and the one that the last byte begins.
  groups_.reserve(groups_.size() + (group_count(bytes) + 2) * kDigestBytes);
}

uint8_t *TreeHasher::add_groups(uint64_t bytes) {
  if (leaf_count_ != 0) close_group();
  total_bytes_ += bytes;
  const size_t end = groups_.size();
  groups_.resize(end + group_count(bytes) * kDigestBytes);
  return groups_.data() + end;
}

std::vector<uint8_t> TreeHasher::take_groups(bool one_block) {
  add_blocks(block_, total_bytes_ % kBlockBytes, nullptr);
  total_bytes_ = 0;
  // A tree of one block has no second level: the hash of the block is the root.
  if (one_block && leaf_count_ != 0) {
    groups_.assign(leaves_, leaves_ + kDigestBytes);
    leaf_count_ = 0;
  } else if (leaf_count_ != 0) {
    close_group();
  }
  return std::exchange(groups_, {});
}

}  // namespace vram
