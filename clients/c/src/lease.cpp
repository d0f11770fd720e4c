#include "lease.h"

namespace vram_attach {
namespace {

/** The `part=<offset> <bytes>` lines. Offsets must add up, and cover the shard. */
Layout layout_of(const Frame &attached, const std::string &gpu_uuid) {
  Layout layout = {attached.require_number("vram_bytes"), {}, gpu_uuid};
  uint64_t end = 0;
  for (const std::string &part : attached.all("part")) {
    const std::vector<std::string> words = split_words(part, 2);
    const uint64_t offset = parse_number(words[0]), bytes = parse_number(words[1]);
    if (offset != end || bytes == 0 || __builtin_add_overflow(offset, bytes, &end)) {
      throw protocol_error("the parts of the shard do not add up");
    }
    layout.part_bytes.push_back(bytes);
  }
  if (layout.vram_bytes == 0 || end < layout.vram_bytes) throw protocol_error("the parts do not cover the shard");
  return layout;
}

}  // namespace

void Lease::open(const Driver &driver, const Frame &attached, const Descriptors &descriptors,
                 const std::string &gpu_uuid) {
  const Layout layout = layout_of(attached, gpu_uuid);
  if (layout.part_bytes.size() != descriptors.size()) {
    throw protocol_error("the shard has " + std::to_string(layout.part_bytes.size()) + " parts, but " +
                         std::to_string(descriptors.size()) + " descriptors arrived");
  }
  lease_id_ = attached.require("lease_id");
  allocation_id_ = attached.require("allocation_id");
  if (shard_id_.empty()) shard_id_ = attached.get("shard_id");
  vram_bytes_ = layout.vram_bytes;
  set_documents(attached.require("handle"), attached.require("receipt"));
  mapping_ = std::make_unique<Mapping>(driver, layout, descriptors);
  file_ = std::make_unique<MemoryFile>(descriptors);
}

void Lease::read(uint64_t offset, void *buffer, uint64_t bytes) const {
  if (offset > vram_bytes_ || bytes > vram_bytes_ - offset) {
    throw Failure{VRAM_ATTACH_INVALID_ARGUMENT, "the shard has only " + std::to_string(vram_bytes_) + " bytes"};
  }
  if (bytes != 0) mapping_->read(offset, buffer, bytes);
}

void Lease::set_documents(const std::string &handle, const std::string &receipt) {
  if (!handle.empty() && (handles_.empty() || handles_.back() != handle)) handles_.push_back(handle);
  if (!receipt.empty() && (receipts_.empty() || receipts_.back() != receipt)) receipts_.push_back(receipt);
}

vram_attach_lease_info Lease::info() const {
  vram_attach_lease_info info = {};
  info.address = mapping_->address();
  info.vram_bytes = vram_bytes_;
  info.mapped_bytes = mapping_->bytes();
  info.device = mapping_->device();
  info.state = state_;
  info.lease_id = lease_id_.c_str();
  info.allocation_id = allocation_id_.c_str();
  info.handle = handles_.back().c_str();
  info.receipt = receipts_.back().c_str();
  return info;
}

}  // namespace vram_attach
