/** Driver API functions for physical memory, addresses, mappings, access rights and attributes. */
#include "call.h"

using namespace cuda_sim;

namespace {

bool is_device(const CUmemLocation &location) {
  return location.type == CU_MEM_LOCATION_TYPE_DEVICE && simulator().device(location.id) != nullptr;
}

CUresult check(const CUmemAllocationProp *prop) {
  if (prop == nullptr || prop->type != CU_MEM_ALLOCATION_TYPE_PINNED) return CUDA_ERROR_INVALID_VALUE;
  if (prop->location.type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_INVALID_VALUE;
  if (simulator().device(prop->location.id) == nullptr) return CUDA_ERROR_INVALID_DEVICE;
  if (prop->requestedHandleTypes == CU_MEM_HANDLE_TYPE_NONE) return CUDA_SUCCESS;
  const bool can_export = simulator().spoofs.report(Spoof::kExport, 1) != 0;
  const bool is_descriptor = prop->requestedHandleTypes == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  return can_export && is_descriptor ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
}

template <typename Value>
void store(void *out, Value value) {
  *static_cast<Value *>(out) = value;
}

/** Writes an attribute of an address in device memory, in pinned host memory or in neither. */
CUresult get_pointer_attribute(CUpointer_attribute attribute, CUdeviceptr address, void *out) {
  const Spoofs &spoofs = simulator().spoofs;
  const std::shared_ptr<Allocation> allocation = simulator().address_space().allocation_at(address);
  const auto host = simulator().host_memory.find(reinterpret_cast<const void *>(address), 1);
  constexpr int kInvalidOrdinal = -2;
  switch (attribute) {
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
      if (allocation != nullptr) {
        store(out, static_cast<unsigned>(spoofs.report(Spoof::kMemoryType, CU_MEMORYTYPE_DEVICE)));
      } else {
        store(out, host != nullptr ? static_cast<unsigned>(CU_MEMORYTYPE_HOST) : 0u);
      }
      return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
      if (allocation != nullptr) {
        store(out, spoofs.report(Spoof::kHostPointer, 0) != 0 ? reinterpret_cast<void *>(address) : nullptr);
      } else {
        store(out, host != nullptr ? reinterpret_cast<void *>(address) : nullptr);
      }
      return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
      // The width of this boolean is not documented. This writes one byte, so the caller must clear the rest.
      store(out, allocation != nullptr && spoofs.report(Spoof::kIsManaged, 0) != 0);
      return CUDA_SUCCESS;
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
      if (allocation != nullptr) {
        store(out, spoofs.report(Spoof::kOrdinal, allocation->device().ordinal));
      } else {
        store(out, host != nullptr ? host->device() : kInvalidOrdinal);
      }
      return CUDA_SUCCESS;
  }
  return CUDA_ERROR_INVALID_VALUE;
}

}  // namespace

CUresult cuMemGetInfo_v2(size_t *free_bytes, size_t *total_bytes) {
  return call_in_context("cuMemGetInfo_v2", [&](Device &device) {
    if (free_bytes == nullptr || total_bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *free_bytes = device.memory->free_bytes();
    *total_bytes = device.memory->capacity_bytes();
    return CUDA_SUCCESS;
  });
}

CUresult cuMemGetAllocationGranularity(size_t *bytes, const CUmemAllocationProp *prop,
                                       CUmemAllocationGranularity_flags option) {
  return call("cuMemGetAllocationGranularity", [&] {
    constexpr int kGranularityRecommended = 1;
    if (bytes == nullptr || (option != CU_MEM_ALLOC_GRANULARITY_MINIMUM && option != kGranularityRecommended)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    const CUresult checked = check(prop);
    if (checked == CUDA_SUCCESS) *bytes = kGranuleBytes;
    return checked;
  });
}

CUresult cuMemCreate(CUmemGenericAllocationHandle *handle, size_t bytes, const CUmemAllocationProp *prop,
                     unsigned long long flags) {
  return call("cuMemCreate", [&] {
    if (handle == nullptr || flags != 0 || !is_whole_granules(bytes)) return CUDA_ERROR_INVALID_VALUE;
    const CUresult checked = check(prop);
    if (checked != CUDA_SUCCESS) return checked;
    std::shared_ptr<Allocation> allocation;
    Device &device = *simulator().device(prop->location.id);
    const CUresult created = prop->requestedHandleTypes == CU_MEM_HANDLE_TYPE_NONE
                                 ? Allocation::create(device, bytes, &allocation)
                                 : simulator().shared_allocations.create(device, bytes, &allocation);
    if (created == CUDA_SUCCESS) *handle = simulator().allocations.add(std::move(allocation));
    return created;
  });
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  return call("cuMemRelease",
              [&] { return simulator().allocations.release(handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; });
}

CUresult cuMemAddressReserve(CUdeviceptr *address, size_t bytes, size_t alignment, CUdeviceptr hint,
                             unsigned long long flags) {
  return call("cuMemAddressReserve", [&] {
    if (address == nullptr || flags != 0 || hint % kGranuleBytes != 0) return CUDA_ERROR_INVALID_VALUE;
    uint64_t reserved = 0;
    const CUresult result = simulator().address_space().reserve(bytes, alignment, &reserved);
    if (result == CUDA_SUCCESS) *address = reserved;
    return result;
  });
}

CUresult cuMemAddressFree(CUdeviceptr address, size_t bytes) {
  return call("cuMemAddressFree", [&] { return simulator().address_space().free(address, bytes); });
}

CUresult cuMemMap(CUdeviceptr address, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags) {
  return call("cuMemMap", [&] {
    std::shared_ptr<Allocation> allocation = simulator().allocations.find(handle);
    if (allocation == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (offset != 0 || bytes != allocation->bytes()) return CUDA_ERROR_NOT_SUPPORTED;
    return simulator().address_space().map(address, std::move(allocation));
  });
}

CUresult cuMemUnmap(CUdeviceptr address, size_t bytes) {
  return call("cuMemUnmap", [&] { return simulator().address_space().unmap(address, bytes); });
}

CUresult cuMemSetAccess(CUdeviceptr address, size_t bytes, const CUmemAccessDesc *descs, size_t count) {
  return call("cuMemSetAccess", [&] {
    if (descs == nullptr || count == 0) return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count; ++i) {
      const int flags = descs[i].flags;
      if (flags != CU_MEM_ACCESS_FLAGS_PROT_NONE && flags != CU_MEM_ACCESS_FLAGS_PROT_READ &&
          flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      if (descs[i].location.type != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_NOT_SUPPORTED;
      if (!is_device(descs[i].location)) return CUDA_ERROR_INVALID_VALUE;
    }
    return simulator().address_space().set_access(address, bytes, descs, count);
  });
}

CUresult cuMemGetAccess(unsigned long long *flags, const CUmemLocation *location, CUdeviceptr address) {
  return call("cuMemGetAccess", [&] {
    if (flags == nullptr || location == nullptr || location->type != CU_MEM_LOCATION_TYPE_DEVICE)
      return CUDA_ERROR_INVALID_VALUE;
    if (!is_device(*location)) return CUDA_ERROR_INVALID_DEVICE;
    const AddressSpace &space = simulator().address_space();
    const std::shared_ptr<Allocation> allocation = space.allocation_at(address);
    const std::optional<CUmemAccess_flags> access = space.access_at(address, location->id);
    if (allocation == nullptr || !access) return CUDA_ERROR_INVALID_VALUE;
    const bool own = allocation->device().ordinal == location->id;
    const int reported = simulator().spoofs.report(own ? Spoof::kAccess : Spoof::kForeignAccess, *access);
    *flags = static_cast<unsigned long long>(reported);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle *handle, void *address) {
  return call("cuMemRetainAllocationHandle", [&] {
    if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto allocation = simulator().address_space().allocation_at(reinterpret_cast<uint64_t>(address));
    if (allocation == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *handle = simulator().allocations.retain(allocation);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp *prop, CUmemGenericAllocationHandle handle) {
  return call("cuMemGetAllocationPropertiesFromHandle", [&] {
    const std::shared_ptr<Allocation> allocation = simulator().allocations.find(handle);
    if (prop == nullptr || allocation == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const Spoofs &spoofs = simulator().spoofs;
    CUmemAllocationProp reported = {};
    reported.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    reported.requestedHandleTypes =
        allocation->is_shared() ? CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR : CU_MEM_HANDLE_TYPE_NONE;
    reported.location.type =
        static_cast<CUmemLocationType>(spoofs.report(Spoof::kLocationType, CU_MEM_LOCATION_TYPE_DEVICE));
    reported.location.id = spoofs.report(Spoof::kLocationId, allocation->device().ordinal);
    *prop = reported;
    return CUDA_SUCCESS;
  });
}

CUresult cuPointerGetAttributes(unsigned count, CUpointer_attribute *attributes, void **values, CUdeviceptr address) {
  return call_in_any_context("cuPointerGetAttributes", [&](Device &) {
    if (count == 0 || attributes == nullptr || values == nullptr) return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < count; ++i) {
      const CUresult result =
          values[i] != nullptr ? get_pointer_attribute(attributes[i], address, values[i]) : CUDA_ERROR_INVALID_VALUE;
      if (result != CUDA_SUCCESS) return result;
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuMemHostAlloc(void **address, size_t bytes, unsigned flags) {
  return call_in_context("cuMemHostAlloc", [&](Device &device) {
    constexpr unsigned kKnownFlags = 7;
    if (address == nullptr || bytes == 0 || (flags & ~kKnownFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
    std::shared_ptr<HostBuffer> buffer = HostBuffer::create(bytes, device.ordinal);
    if (buffer == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
    *address = buffer->address();
    (void)simulator().host_memory.add(std::move(buffer));
    return CUDA_SUCCESS;
  });
}

CUresult cuMemFreeHost(void *address) {
  return call_in_context("cuMemFreeHost", [&](Device &) {
    return simulator().host_memory.remove(address, HostBuffer::Kind::kAllocated) ? CUDA_SUCCESS
                                                                                 : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuMemHostRegister_v2(void *address, size_t bytes, unsigned flags) {
  return call_in_context("cuMemHostRegister_v2", [&](Device &device) {
    constexpr unsigned kKnownFlags = 7;
    if (address == nullptr || bytes == 0 || (flags & ~kKnownFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
    const bool added = simulator().host_memory.add(HostBuffer::registered(address, bytes, device.ordinal));
    return added ? CUDA_SUCCESS : CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
  });
}

CUresult cuMemHostUnregister(void *address) {
  return call_in_context("cuMemHostUnregister", [&](Device &) {
    return simulator().host_memory.remove(address, HostBuffer::Kind::kRegistered)
               ? CUDA_SUCCESS
               : CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
  });
}
