/** The handles of drivers and of the objects that belong to one, and the calls of those objects. */
#pragma once

#include <memory>

#include "allocation.h"
#include "driver.h"
#include "guarded.h"
#include "handles.h"
#include "load.h"

namespace vram {

inline Handles<Driver, HandleKind::kDriver> &drivers() {
  return registry<Driver, HandleKind::kDriver>();
}
inline Handles<Allocation, HandleKind::kAllocation> &allocations() {
  return registry<Allocation, HandleKind::kAllocation>();
}
inline Handles<Load, HandleKind::kLoad> &loads() {
  return registry<Load, HandleKind::kLoad>();
}

inline Driver &driver_of(Driver &driver) {
  return driver;
}
template <typename Object>
Driver &driver_of(Object &object) {
  return object.driver();
}

/** Calls call(object) while the driver cannot be closed. */
template <typename Object, HandleKind kKind, typename Call>
vram_status with(Handles<Object, kKind> &handles, uint64_t handle, Call call) noexcept {
  return guarded([&]() -> vram_status {
    std::shared_ptr<Object> object;
    VRAM_TRY(handles.find(handle, &object));
    const SharedLock shared(driver_of(*object).mutex());
    return driver_of(*object).is_open() ? call(object) : VRAM_STALE_HANDLE;
  });
}

/** As with(), for calls on the thread of an event loop: VRAM_BUSY, without a wait, if the driver is being closed. */
template <typename Object, HandleKind kKind, typename Call>
vram_status with_at_once(Handles<Object, kKind> &handles, uint64_t handle, Call call) noexcept {
  return guarded([&]() -> vram_status {
    std::shared_ptr<Object> object;
    VRAM_TRY(handles.find(handle, &object));
    const SharedLock shared(driver_of(*object).mutex(), std::try_to_lock);
    if (!shared.owns_lock()) return VRAM_BUSY;
    return driver_of(*object).is_open() ? call(object) : VRAM_STALE_HANDLE;
  });
}

/** Calls call(driver, device) for an open device of a driver. */
template <typename Call>
vram_status with_device(uint64_t driver, uint32_t ordinal, Call call) noexcept {
  return with(drivers(), driver, [&](const std::shared_ptr<Driver> &object) -> vram_status {
    Device *const device = object->device(ordinal);
    return device != nullptr ? call(object, *device) : VRAM_BAD_DEVICE;
  });
}

/** Closes an object by call(object), then retires its handle. A stale handle is VRAM_OK. */
template <typename Object, HandleKind kKind, typename Call>
vram_status close_object(Handles<Object, kKind> &handles, uint64_t handle, Call call) noexcept {
  const vram_status status = with(handles, handle, [&](const std::shared_ptr<Object> &object) -> vram_status {
    VRAM_TRY(call(*object));
    handles.retire(handle);
    return VRAM_OK;
  });
  return status == VRAM_STALE_HANDLE ? VRAM_OK : status;
}

}  // namespace vram
