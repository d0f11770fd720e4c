/** An attached shard: the worker's names of it, and its mapping. */
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <string>

#include "frame.h"
#include "mapping.h"
#include "memory_file.h"

namespace vram_attach {

class Client;

class Lease {
 public:
  Lease(Client &client, std::string shard_id) : client_(client), shard_id_(std::move(shard_id)) {}

  Client &client() const { return client_; }
  const std::string &shard_id() const { return shard_id_; }
  const std::string &lease_id() const { return lease_id_; }
  const std::string &allocation_id() const { return allocation_id_; }

  /** Takes the memory of an `attached` frame. Throws as Mapping does, and VRAM_ATTACH_PROTOCOL_ERROR. */
  void open(const Driver &driver, const Frame &attached, const Descriptors &descriptors, const std::string &gpu_uuid);
  void unmap() { mapping_->release(); }
  /** Copies bytes. Throws VRAM_ATTACH_INVALID_ARGUMENT if the shard lacks them, and VRAM_ATTACH_DRIVER_ERROR. */
  void read(uint64_t offset, void *buffer, uint64_t bytes) const;

  /** See vram_attach_get_path(). Throws VRAM_ATTACH_NOT_A_FILE or _OUT_OF_MEMORY. */
  const std::string &path() const { return file_->path(); }

  /** Replaces the handle and the receipt; an empty text keeps the earlier one. */
  void set_documents(const std::string &handle, const std::string &receipt);

  uint32_t state() const { return state_; }
  void set_state(uint32_t state) { state_ = state; }

  vram_attach_lease_info info() const;

  /** References: one of the owner, who attached the shard, and one of each exported tensor. */
  void add_reference() { references_ += 1; }
  /** Returns whether it was the last one. */
  bool drop_reference() { return references_.fetch_sub(1) == 1; }
  bool is_exported() const { return references_ > 1; }
  bool is_owned() const { return owned_; }
  /** Returns whether the owner had the lease until now. */
  bool disown() { return owned_.exchange(false); }

  /** The next of the leases that lost their last reference. */
  Lease *next = nullptr;

 private:
  Client &client_;
  std::string shard_id_;
  std::string lease_id_;
  std::string allocation_id_;
  // All texts that info() has returned. A deque does not move them.
  std::deque<std::string> handles_;
  std::deque<std::string> receipts_;
  uint64_t vram_bytes_ = 0;
  uint32_t state_ = VRAM_ATTACH_ACTIVE;
  std::atomic<uint64_t> references_ = 1;
  std::atomic<bool> owned_ = true;
  std::unique_ptr<Mapping> mapping_;
  std::unique_ptr<MemoryFile> file_;
};

}  // namespace vram_attach
