/** The C functions. Each checks null pointers, then the handle, then calls the object. No exception leaves them. */
#include "../include/vram.h"

#include <atomic>
#include <memory>

#include "driver_handles.h"
#include "driver_watchdog.h"
#include "exit_deadline.h"
#include "file_handles.h"

namespace vram {
namespace {

/** Closes all objects of one kind that belong to a driver. Continues after a failure; returns the first one. */
template <typename Object, HandleKind kKind, typename Call>
vram_status close_all(Handles<Object, kKind> &handles, const Driver &driver, Call call) {
  vram_status status = VRAM_OK;
  for (const auto &[handle, object] : handles.entries()) {
    if (&object->driver() != &driver) continue;
    const vram_status closed = call(*object);
    if (closed == VRAM_OK) handles.retire(handle);
    status = first_failure(status, closed);
  }
  return status;
}

vram_status close_driver(Driver &driver) {
  const ExclusiveLock exclusive(driver.mutex());
  VRAM_TRY(close_all(loads(), driver, [](Load &load) { return load.close(); }));
  VRAM_TRY(close_all(allocations(), driver, [](Allocation &allocation) { return allocation.free(); }));
  return driver.close();
}

std::atomic<bool> has_orphans{false};

/**
 * Retries to free orphans: memory whose vram_alloc() or vram_adopt() failed and that the driver then refused to free.
 * Those two and vram_device_get_info() call this first; vram_close() frees orphans as well.
 */
void free_orphans(const Driver &driver) {
  if (!has_orphans.exchange(false)) return;
  for (const auto &[handle, allocation] : allocations().entries()) {
    if (!allocation->is_orphan()) continue;
    if (&allocation->driver() == &driver && allocation->free() == VRAM_OK) {
      allocations().retire(handle);
    } else {
      has_orphans = true;
    }
  }
}

/** Opens an allocation by open(*allocation). If that fails and it cannot be freed now, it becomes an orphan. */
template <typename Open>
vram_status open_allocation(const std::shared_ptr<Allocation> &allocation, uint64_t *out_allocation, Open open) {
  free_orphans(allocation->driver());
  const vram_status opened = open(*allocation);
  if (opened == VRAM_OK) {
    *out_allocation = allocations().issue(allocation);
  } else if (allocation->free() != VRAM_OK) {
    (void)allocations().issue(allocation);
    has_orphans = true;
  }
  return opened;
}

}  // namespace
}  // namespace vram

using namespace vram;

const char *vram_status_name(vram_status status) {
  return status_name(status);
}

uint32_t vram_abi_version(void) {
  return VRAM_ABI_VERSION;
}

uint64_t vram_oldest_driver_call(void) {
  return oldest_driver_call();
}

vram_status vram_exit_after(uint64_t milliseconds, int32_t status) {
  return guarded([&] {
    exit_after(milliseconds, status);
    return VRAM_OK;
  });
}

vram_status vram_exit_after_signal(int32_t signal, uint64_t milliseconds, int32_t status) {
  return guarded([&] { return exit_after_signal(signal, milliseconds, status) ? VRAM_OK : VRAM_OUT_OF_BOUNDS; });
}

vram_status vram_open(const vram_options *options, uint64_t *out_driver) {
  if (options == nullptr || out_driver == nullptr) return VRAM_NULL_ARGUMENT;
  if (options->driver_path == nullptr || options->kernels_path == nullptr) return VRAM_NULL_ARGUMENT;
  if (options->max_allocation_bytes == 0 || options->part_bytes == 0) return VRAM_ZERO_LENGTH;
  if (options->staging_slots == 0) return VRAM_ZERO_LENGTH;
  if (options->part_bytes % VRAM_GROUP_BYTES != 0) return VRAM_UNALIGNED;
  return guarded([&]() -> vram_status {
    const auto driver = std::make_shared<Driver>();
    VRAM_TRY(driver->open(*options));
    *out_driver = drivers().issue(driver);
    return VRAM_OK;
  });
}

vram_status vram_open_device(uint64_t driver, uint32_t device) {
  return guarded([&]() -> vram_status {
    std::shared_ptr<Driver> object;
    VRAM_TRY(drivers().find(driver, &object));
    const ExclusiveLock exclusive(object->mutex());
    return object->is_open() ? object->open_device(device) : VRAM_STALE_HANDLE;
  });
}

vram_status vram_driver_get_info(uint64_t driver, vram_driver_info *out_info) {
  if (out_info == nullptr) return VRAM_NULL_ARGUMENT;
  return with(drivers(), driver, [&](const std::shared_ptr<Driver> &object) -> vram_status {
    *out_info = {object->cuda_version(), object->table().is_simulator ? 1u : 0u};
    return VRAM_OK;
  });
}

vram_status vram_close(uint64_t driver) {
  return guarded([&]() -> vram_status {
    std::shared_ptr<Driver> object;
    const vram_status found = drivers().find(driver, &object);
    if (found != VRAM_OK) return found == VRAM_STALE_HANDLE ? VRAM_OK : found;
    VRAM_TRY(close_driver(*object));
    drivers().retire(driver);
    return VRAM_OK;
  });
}

vram_status vram_staging(uint64_t driver, void **out_base, uint32_t *out_slots) {
  if (out_base == nullptr || out_slots == nullptr) return VRAM_NULL_ARGUMENT;
  return with(drivers(), driver, [&](const std::shared_ptr<Driver> &object) -> vram_status {
    if (object->slot_count() == 0) return VRAM_BAD_DEVICE;
    *out_base = object->slot(0);
    *out_slots = object->slot_count();
    return VRAM_OK;
  });
}

vram_status vram_device_count(uint64_t driver, uint32_t *out_count) {
  if (out_count == nullptr) return VRAM_NULL_ARGUMENT;
  return with(drivers(), driver, [&](const std::shared_ptr<Driver> &object) -> vram_status {
    *out_count = object->device_count();
    return VRAM_OK;
  });
}

vram_status vram_device_get_info(uint64_t driver, uint32_t device, vram_device_info *out_info) {
  if (out_info == nullptr) return VRAM_NULL_ARGUMENT;
  return with_device(driver, device, [&](const std::shared_ptr<Driver> &owner, Device &object) -> vram_status {
    free_orphans(*owner);
    return object.get_info(out_info);
  });
}

vram_status vram_alloc(uint64_t driver, uint32_t device, uint64_t bytes, uint32_t flags, uint64_t *out_allocation) {
  if (out_allocation == nullptr) return VRAM_NULL_ARGUMENT;
  return with_device(driver, device, [&](const std::shared_ptr<Driver> &owner, Device &object) -> vram_status {
    if (bytes == 0) return VRAM_ZERO_LENGTH;
    if ((flags & ~static_cast<uint32_t>(VRAM_ALLOC_EXPORTABLE)) != 0) return VRAM_OUT_OF_BOUNDS;
    const bool exportable = (flags & VRAM_ALLOC_EXPORTABLE) != 0;
    return open_allocation(std::make_shared<Allocation>(owner, object, bytes, exportable), out_allocation,
                           [](Allocation &allocation) { return allocation.create(); });
  });
}

vram_status vram_adopt(uint64_t driver, uint32_t device, uint64_t bytes, uint64_t part_bytes,
                       const int32_t *descriptors, uint32_t descriptor_count, uint64_t *out_allocation) {
  if (descriptors == nullptr || out_allocation == nullptr) return VRAM_NULL_ARGUMENT;
  return with_device(driver, device, [&](const std::shared_ptr<Driver> &owner, Device &object) -> vram_status {
    if (bytes == 0 || part_bytes == 0 || descriptor_count == 0) return VRAM_ZERO_LENGTH;
    if (descriptor_count > VRAM_MAX_PARTS) return VRAM_OUT_OF_BOUNDS;
    const std::vector<int> parts(descriptors, descriptors + descriptor_count);
    return open_allocation(std::make_shared<Allocation>(owner, object, bytes, true), out_allocation,
                           [&](Allocation &allocation) { return allocation.adopt(part_bytes, parts); });
  });
}

vram_status vram_allocation_get_info(uint64_t allocation, vram_allocation_info *out_info) {
  if (out_info == nullptr) return VRAM_NULL_ARGUMENT;
  return with(allocations(), allocation, [&](const auto &object) { return object->get_info(out_info); });
}

vram_status vram_write(uint64_t allocation, uint64_t offset, const void *source, uint64_t bytes) {
  if (source == nullptr) return VRAM_NULL_ARGUMENT;
  return with(allocations(), allocation,
              [&](const auto &object) { return object->write(offset, static_cast<const uint8_t *>(source), bytes); });
}

vram_status vram_read(uint64_t allocation, uint64_t offset, void *destination, uint64_t bytes) {
  if (destination == nullptr) return VRAM_NULL_ARGUMENT;
  return with(allocations(), allocation,
              [&](const auto &object) { return object->read(offset, static_cast<uint8_t *>(destination), bytes); });
}

vram_status vram_seal(uint64_t allocation) {
  return with(allocations(), allocation, [](const auto &object) { return object->seal(); });
}

vram_status vram_attest(uint64_t allocation, vram_residency *out_residency) {
  if (out_residency == nullptr) return VRAM_NULL_ARGUMENT;
  return with(allocations(), allocation, [&](const auto &object) { return object->attest(out_residency); });
}

vram_status vram_digest(uint64_t allocation, uint64_t offset, uint64_t bytes, uint8_t *out_hashes, uint64_t out_bytes) {
  if (out_hashes == nullptr) return VRAM_NULL_ARGUMENT;
  return with(allocations(), allocation,
              [&](const auto &object) { return object->digest(offset, bytes, out_hashes, out_bytes); });
}

vram_status vram_prove(uint64_t allocation, vram_residency *out_residency, uint8_t *out_hashes, uint64_t out_bytes) {
  if (out_residency == nullptr || out_hashes == nullptr) return VRAM_NULL_ARGUMENT;
  return with(allocations(), allocation,
              [&](const auto &object) { return object->prove(out_residency, out_hashes, out_bytes); });
}

vram_status vram_repair(uint64_t allocation, uint64_t file, const vram_file_range *range, const uint8_t *hashes,
                        uint64_t hashes_bytes, uint64_t *out_repaired) {
  if (range == nullptr || hashes == nullptr || out_repaired == nullptr) return VRAM_NULL_ARGUMENT;
  return with(allocations(), allocation, [&](const auto &object) {
    return with_file(file,
                     [&](File &source) { return object->repair(source, *range, hashes, hashes_bytes, out_repaired); });
  });
}

vram_status vram_repair_bytes(uint64_t allocation, uint64_t offset, const uint8_t *data, uint64_t bytes,
                              const uint8_t *hashes, uint64_t hashes_bytes) {
  if (data == nullptr || hashes == nullptr) return VRAM_NULL_ARGUMENT;
  return with(allocations(), allocation,
              [&](const auto &object) { return object->repair_bytes(offset, data, bytes, hashes, hashes_bytes); });
}

vram_status vram_hand_over(uint64_t allocation, int32_t socket, const void *frame, uint64_t bytes, uint64_t *out_sent) {
  if (frame == nullptr || out_sent == nullptr) return VRAM_NULL_ARGUMENT;
  return with(allocations(), allocation,
              [&](const auto &object) { return object->hand_over(socket, frame, bytes, out_sent); });
}

vram_status vram_leave(uint64_t allocation) {
  return close_object(allocations(), allocation, [](Allocation &object) { return object.leave(); });
}

vram_status vram_free(uint64_t allocation) {
  return close_object(allocations(), allocation, [](Allocation &object) { return object.free(); });
}

vram_status vram_tree_digest(const uint8_t *group_hashes, uint64_t hash_count, uint64_t bytes, uint8_t *out_digest) {
  if (out_digest == nullptr || (group_hashes == nullptr && bytes != 0)) return VRAM_NULL_ARGUMENT;
  return guarded([&]() -> vram_status {
    if (hash_count != group_count(bytes)) return VRAM_OUT_OF_BOUNDS;
    fold_groups(group_hashes, bytes, out_digest);
    return VRAM_OK;
  });
}
