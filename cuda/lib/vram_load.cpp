/** The C functions of loads. See vram.cpp. */
#include "driver_handles.h"
#include "file_handles.h"

using namespace vram;

namespace {

/** Issues the handle of a load whose open() returned `opened`. */
vram_status issue_load(const std::shared_ptr<Load> &load, vram_status opened, uint64_t *out_load) {
  // If a failed load cannot be closed now, a handle that the caller does not get lets vram_close() retry.
  if (opened == VRAM_OK || load->close() != VRAM_OK) {
    const uint64_t handle = loads().issue(load);
    if (opened == VRAM_OK) *out_load = handle;
  }
  return opened;
}

vram_status check_flags(uint32_t flags) {
  return (flags & ~(VRAM_LOAD_FLAT | VRAM_LOAD_TREE)) == 0 ? VRAM_OK : VRAM_OUT_OF_BOUNDS;
}

/** The last bytes of a load: those at the start of a staging slot. */
struct LastBytes {
  uint32_t slot;
  uint64_t bytes;
};

vram_status complete(uint64_t handle, Load &load, const LastBytes &last, vram_load_result *out_result) {
  VRAM_TRY(load.complete(last.slot, last.bytes, out_result));
  VRAM_TRY(load.close());
  loads().retire(handle);
  return VRAM_OK;
}

}  // namespace

vram_status vram_load_open(uint64_t allocation, uint32_t flags, uint64_t *out_load) {
  if (out_load == nullptr) return VRAM_NULL_ARGUMENT;
  return with_at_once(allocations(), allocation, [&](const std::shared_ptr<Allocation> &object) -> vram_status {
    VRAM_TRY(check_flags(flags));
    const auto load = std::make_shared<Load>(std::make_shared<LoadTarget>(object, flags));
    return issue_load(load, load->open(), out_load);
  });
}

vram_status vram_load_open_host(uint64_t driver, uint64_t bytes, uint32_t flags, uint64_t *out_load) {
  if (out_load == nullptr) return VRAM_NULL_ARGUMENT;
  return with(drivers(), driver, [&](const std::shared_ptr<Driver> &object) -> vram_status {
    VRAM_TRY(check_flags(flags));
    if (bytes == 0) return VRAM_ZERO_LENGTH;
    const auto load = std::make_shared<Load>(std::make_shared<LoadTarget>(object, bytes, flags));
    return issue_load(load, load->open(), out_load);
  });
}

vram_status vram_load_open_writer(uint64_t load, uint64_t *out_writer) {
  if (out_writer == nullptr) return VRAM_NULL_ARGUMENT;
  return with(loads(), load, [&](const auto &object) -> vram_status {
    std::shared_ptr<Load> writer;
    const vram_status opened = object->open_writer(&writer);
    return writer != nullptr ? issue_load(writer, opened, out_writer) : opened;
  });
}

vram_status vram_load_seek(uint64_t load, uint64_t offset) {
  return with_at_once(loads(), load, [&](const auto &object) { return object->seek(offset); });
}

vram_status vram_load_push(uint64_t load, uint32_t slot, uint64_t bytes) {
  return with(loads(), load, [&](const auto &object) { return object->push({slot}, bytes); });
}

vram_status vram_load_push_slots(uint64_t load, const uint32_t *slots, uint32_t slot_count, uint64_t bytes) {
  if (slots == nullptr) return VRAM_NULL_ARGUMENT;
  return with(loads(), load, [&](const auto &object) { return object->push({slots, slots + slot_count}, bytes); });
}

vram_status vram_load_file(uint64_t load, uint64_t file, const vram_file_range *range, uint64_t *out_received) {
  if (range == nullptr || out_received == nullptr) return VRAM_NULL_ARGUMENT;
  return with(loads(), load, [&](const auto &object) {
    return with_file(file, [&](File &source) { return object->load_file(source, *range, out_received); });
  });
}

vram_status vram_load_socket(uint64_t load, int32_t socket, uint64_t bytes, uint32_t wait_ms, const uint32_t *slots,
                             uint32_t slot_count, uint64_t *out_received) {
  if (slots == nullptr || out_received == nullptr) return VRAM_NULL_ARGUMENT;
  return with(loads(), load, [&](const auto &object) {
    return object->load_socket(socket, bytes, wait_ms, {slots, slots + slot_count}, out_received);
  });
}

vram_status vram_load_seal(uint64_t load, uint64_t *out_sealed_bytes) {
  if (out_sealed_bytes == nullptr) return VRAM_NULL_ARGUMENT;
  return with(loads(), load, [&](const auto &object) { return object->seal(out_sealed_bytes); });
}

vram_status vram_load_finish(uint64_t load, vram_load_result *out_result) {
  if (out_result == nullptr) return VRAM_NULL_ARGUMENT;
  return with(loads(), load, [&](const auto &object) { return object->finish(out_result); });
}

vram_status vram_load_complete(uint64_t load, uint32_t slot, uint64_t bytes, vram_load_result *out_result) {
  if (out_result == nullptr) return VRAM_NULL_ARGUMENT;
  return with(loads(), load, [&](const auto &object) { return complete(load, *object, {slot, bytes}, out_result); });
}

vram_status vram_load_prove(uint64_t load, uint32_t slot, uint64_t bytes, vram_load_result *out_result,
                            vram_residency *out_residency, uint8_t *out_hashes, uint64_t hashes_bytes) {
  if (out_result == nullptr || out_residency == nullptr || out_hashes == nullptr) return VRAM_NULL_ARGUMENT;
  return with(loads(), load, [&](const auto &object) -> vram_status {
    const std::shared_ptr<Allocation> allocation = object->allocation();
    if (allocation == nullptr) return VRAM_OUT_OF_BOUNDS;
    VRAM_TRY(complete(load, *object, {slot, bytes}, out_result));
    return allocation->prove(out_residency, out_hashes, hashes_bytes);
  });
}

vram_status vram_load_close(uint64_t load) {
  return close_object(loads(), load, [](Load &object) { return object.close(); });
}
