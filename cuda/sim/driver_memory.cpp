/** The driver API: physical memory, addresses, mappings, access, and what can be asked about them. */
#include "call.h"

using namespace cuda_sim;

namespace {

bool is_device(const cu::MemLocation &location) {
  return location.type == cu::kLocationDevice && simulator().device(location.id) != nullptr;
}

cu::Result check(const cu::AllocationProp *prop) {
  if (prop == nullptr || prop->type != cu::kAllocationPinned) return cu::kInvalidValue;
  if (prop->location.type != cu::kLocationDevice) return cu::kInvalidValue;
  if (simulator().device(prop->location.id) == nullptr) return cu::kInvalidDevice;
  return prop->requestedHandleTypes == 0 ? cu::kSuccess : cu::kNotSupported;
}

/** A dead context's device changes no mapping: its page tables can't be told. */
cu::Result sticky_error_of(const std::shared_ptr<Allocation> &allocation) {
  return allocation != nullptr ? allocation->device().context.sticky_error() : cu::kSuccess;
}

template <typename Value>
void answer(void *out, Value value) {
  *static_cast<Value *>(out) = value;
}

/** What is known of an address: of device memory, pinned host memory, or nothing. */
cu::Result answer_attribute(cu::PointerAttribute attribute, cu::DevicePtr address, void *out) {
  const Spoofs &spoofs = simulator().spoofs;
  const std::shared_ptr<Allocation> allocation = simulator().address_space().allocation_at(address);
  const auto host = simulator().host_memory.find(reinterpret_cast<const void *>(address), 1);
  constexpr int kInvalidOrdinal = -2;
  switch (attribute) {
    case cu::kPointerMemoryType:
      if (allocation != nullptr) {
        answer(out, static_cast<unsigned>(spoofs.report(Spoof::kMemoryType, cu::kMemoryTypeDevice)));
      } else {
        answer(out, host != nullptr ? static_cast<unsigned>(cu::kMemoryTypeHost) : 0u);
      }
      return cu::kSuccess;
    case cu::kPointerHostPointer:
      if (allocation != nullptr) {
        answer(out, spoofs.report(Spoof::kHostPointer, 0) != 0 ? reinterpret_cast<void *>(address) : nullptr);
      } else {
        answer(out, host != nullptr ? reinterpret_cast<void *>(address) : nullptr);
      }
      return cu::kSuccess;
    case cu::kPointerIsManaged:
      // A boolean, and not known to be wider than a byte: callers clear the rest.
      answer(out, allocation != nullptr && spoofs.report(Spoof::kIsManaged, 0) != 0);
      return cu::kSuccess;
    case cu::kPointerDeviceOrdinal:
      if (allocation != nullptr) {
        answer(out, spoofs.report(Spoof::kOrdinal, allocation->device().ordinal));
      } else {
        answer(out, host != nullptr ? host->device() : kInvalidOrdinal);
      }
      return cu::kSuccess;
  }
  return cu::kInvalidValue;
}

}  // namespace

cu::Result cuMemGetInfo_v2(size_t *free_bytes, size_t *total_bytes) {
  return call_in_context("cuMemGetInfo_v2", [&](Device &device) {
    if (free_bytes == nullptr || total_bytes == nullptr) return cu::kInvalidValue;
    *free_bytes = device.memory->free_bytes();
    *total_bytes = device.memory->capacity_bytes();
    return cu::kSuccess;
  });
}

cu::Result cuMemGetAllocationGranularity(size_t *bytes, const cu::AllocationProp *prop, cu::GranularityFlags option) {
  return call("cuMemGetAllocationGranularity", [&] {
    constexpr int kGranularityRecommended = 1;
    if (bytes == nullptr || (option != cu::kGranularityMinimum && option != kGranularityRecommended)) {
      return cu::kInvalidValue;
    }
    const cu::Result checked = check(prop);
    if (checked == cu::kSuccess) *bytes = kGranuleBytes;
    return checked;
  });
}

cu::Result cuMemCreate(cu::AllocationHandle *handle, size_t bytes, const cu::AllocationProp *prop,
                       unsigned long long flags) {
  return call("cuMemCreate", [&] {
    if (handle == nullptr || flags != 0 || !is_whole_granules(bytes)) return cu::kInvalidValue;
    const cu::Result checked = check(prop);
    if (checked != cu::kSuccess) return checked;
    Device &device = *simulator().device(prop->location.id);
    const cu::Result sticky = device.context.sticky_error();
    if (sticky != cu::kSuccess) return sticky;
    std::shared_ptr<Allocation> allocation;
    const cu::Result created = Allocation::create(device, bytes, &allocation);
    if (created == cu::kSuccess) *handle = simulator().allocations.add(std::move(allocation));
    return created;
  });
}

cu::Result cuMemRelease(cu::AllocationHandle handle) {
  return call("cuMemRelease",
              [&] { return simulator().allocations.release(handle) ? cu::kSuccess : cu::kInvalidValue; });
}

cu::Result cuMemAddressReserve(cu::DevicePtr *address, size_t bytes, size_t alignment, cu::DevicePtr /*hint*/,
                               unsigned long long flags) {
  return call("cuMemAddressReserve", [&] {
    if (address == nullptr || flags != 0) return cu::kInvalidValue;
    uint64_t reserved = 0;
    const cu::Result result = simulator().address_space().reserve(bytes, alignment, &reserved);
    if (result == cu::kSuccess) *address = reserved;
    return result;
  });
}

cu::Result cuMemAddressFree(cu::DevicePtr address, size_t bytes) {
  return call("cuMemAddressFree", [&] { return simulator().address_space().free(address, bytes); });
}

cu::Result cuMemMap(cu::DevicePtr address, size_t bytes, size_t offset, cu::AllocationHandle handle,
                    unsigned long long flags) {
  return call("cuMemMap", [&] {
    std::shared_ptr<Allocation> allocation = simulator().allocations.find(handle);
    if (allocation == nullptr || offset != 0 || flags != 0) return cu::kInvalidValue;
    const cu::Result sticky = sticky_error_of(allocation);
    return sticky != cu::kSuccess ? sticky : simulator().address_space().map(address, bytes, std::move(allocation));
  });
}

cu::Result cuMemUnmap(cu::DevicePtr address, size_t bytes) {
  return call("cuMemUnmap", [&] {
    AddressSpace &space = simulator().address_space();
    const cu::Result sticky = sticky_error_of(space.allocation_at(address));
    return sticky != cu::kSuccess ? sticky : space.unmap(address, bytes);
  });
}

cu::Result cuMemSetAccess(cu::DevicePtr address, size_t bytes, const cu::AccessDesc *descs, size_t count) {
  return call("cuMemSetAccess", [&] {
    if (descs == nullptr || count == 0) return cu::kInvalidValue;
    for (size_t i = 0; i < count; ++i) {
      const int flags = descs[i].flags;
      if (flags != cu::kAccessNone && flags != cu::kAccessRead && flags != cu::kAccessReadWrite) {
        return cu::kInvalidValue;
      }
      if (descs[i].location.type != cu::kLocationDevice) return cu::kInvalidValue;
      if (!is_device(descs[i].location)) return cu::kInvalidDevice;
    }
    AddressSpace &space = simulator().address_space();
    const cu::Result sticky = sticky_error_of(space.allocation_at(address));
    return sticky != cu::kSuccess ? sticky : space.set_access(address, bytes, descs, count);
  });
}

cu::Result cuMemGetAccess(unsigned long long *flags, const cu::MemLocation *location, cu::DevicePtr address) {
  return call("cuMemGetAccess", [&] {
    if (flags == nullptr || location == nullptr || location->type != cu::kLocationDevice) return cu::kInvalidValue;
    if (!is_device(*location)) return cu::kInvalidDevice;
    const AddressSpace &space = simulator().address_space();
    const std::shared_ptr<Allocation> allocation = space.allocation_at(address);
    const std::optional<cu::AccessFlags> access = space.access_at(address, location->id);
    if (allocation == nullptr || !access) return cu::kInvalidValue;
    const bool own = allocation->device().ordinal == location->id;
    const int told = simulator().spoofs.report(own ? Spoof::kAccess : Spoof::kForeignAccess, *access);
    *flags = static_cast<unsigned long long>(told);
    return cu::kSuccess;
  });
}

cu::Result cuMemRetainAllocationHandle(cu::AllocationHandle *handle, void *address) {
  return call("cuMemRetainAllocationHandle", [&] {
    if (handle == nullptr) return cu::kInvalidValue;
    const auto allocation = simulator().address_space().allocation_at(reinterpret_cast<uint64_t>(address));
    if (allocation == nullptr) return cu::kInvalidValue;
    *handle = simulator().allocations.retain(allocation);
    return cu::kSuccess;
  });
}

cu::Result cuMemGetAllocationPropertiesFromHandle(cu::AllocationProp *prop, cu::AllocationHandle handle) {
  return call("cuMemGetAllocationPropertiesFromHandle", [&] {
    const std::shared_ptr<Allocation> allocation = simulator().allocations.find(handle);
    if (prop == nullptr || allocation == nullptr) return cu::kInvalidValue;
    const Spoofs &spoofs = simulator().spoofs;
    cu::AllocationProp answer = {};
    answer.type = cu::kAllocationPinned;
    answer.location.type = static_cast<cu::LocationType>(spoofs.report(Spoof::kLocationType, cu::kLocationDevice));
    answer.location.id = spoofs.report(Spoof::kLocationId, allocation->device().ordinal);
    *prop = answer;
    return cu::kSuccess;
  });
}

cu::Result cuPointerGetAttributes(unsigned count, cu::PointerAttribute *attributes, void **values,
                                  cu::DevicePtr address) {
  return call_in_context("cuPointerGetAttributes", [&](Device &) {
    if (count == 0 || attributes == nullptr || values == nullptr) return cu::kInvalidValue;
    for (unsigned i = 0; i < count; ++i) {
      const cu::Result result =
          values[i] != nullptr ? answer_attribute(attributes[i], address, values[i]) : cu::kInvalidValue;
      if (result != cu::kSuccess) return result;
    }
    return cu::kSuccess;
  });
}

cu::Result cuMemHostAlloc(void **address, size_t bytes, unsigned flags) {
  return call_in_context("cuMemHostAlloc", [&](Device &device) {
    constexpr unsigned kKnownFlags = 7;
    if (address == nullptr || bytes == 0 || (flags & ~kKnownFlags) != 0) return cu::kInvalidValue;
    std::shared_ptr<HostBuffer> buffer = HostBuffer::create(bytes, device.ordinal);
    if (buffer == nullptr) return cu::kOutOfMemory;
    *address = buffer->address();
    simulator().host_memory.add(std::move(buffer));
    return cu::kSuccess;
  });
}

cu::Result cuMemFreeHost(void *address) {
  return call_in_context("cuMemFreeHost", [&](Device &) {
    return simulator().host_memory.remove(address) ? cu::kSuccess : cu::kInvalidValue;
  });
}
