#include "mapping.h"

#include <numeric>

namespace vram_attach {

Mapping::Mapping(const Driver &driver, const Layout &layout, const Descriptors &descriptors) : driver_(driver) {
  try {
    import(layout, descriptors);
    context_ = std::make_unique<DeviceContext>(driver_, device_);
    map(layout);
    // The mapping keeps the memory. Without handles there is less to release.
    driver_.check(release_handles(), "cuMemRelease");
    context_->restore();
  } catch (...) {
    (void)unmap();
    (void)release_handles();
    if (context_ != nullptr) context_->restore();
    throw;
  }
}

Mapping::~Mapping() {
  (void)unmap();
  (void)release_handles();
}

void Mapping::import(const Layout &layout, const Descriptors &descriptors) {
  const int expected = layout.gpu_uuid.empty() ? -1 : driver_.device_of(layout.gpu_uuid);
  handles_.reserve(descriptors.size());
  for (const Descriptor &descriptor : descriptors) {
    CUmemGenericAllocationHandle handle = 0;
    void *const os_handle = reinterpret_cast<void *>(static_cast<intptr_t>(descriptor.get()));
    driver_.check(driver_.cuMemImportFromShareableHandle(&handle, os_handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR),
                  "cuMemImportFromShareableHandle");
    handles_.push_back(handle);
    CUmemAllocationProp prop = {};
    driver_.check(driver_.cuMemGetAllocationPropertiesFromHandle(&prop, handle),
                  "cuMemGetAllocationPropertiesFromHandle");
    if (device_ < 0) device_ = prop.location.id;
    const bool same = prop.location.type == CU_MEM_LOCATION_TYPE_DEVICE && prop.location.id == device_;
    if (!same) throw protocol_error("the parts of the shard are not on one device");
  }
  if (expected >= 0 && device_ != expected) {
    throw Failure{VRAM_ATTACH_DEVICE_NOT_FOUND, "the shard is not on device " + layout.gpu_uuid};
  }
}

void Mapping::map(const Layout &layout) {
  const uint64_t bytes = std::accumulate(layout.part_bytes.begin(), layout.part_bytes.end(), uint64_t{0});
  driver_.check(driver_.cuMemAddressReserve(&address_, bytes, 0, 0, 0), "cuMemAddressReserve");
  reserved_ = true;
  bytes_ = bytes;
  mapped_parts_.reserve(handles_.size());
  uint64_t offset = 0;
  for (size_t i = 0; i < handles_.size(); ++i) {
    driver_.check(driver_.cuMemMap(address_ + offset, layout.part_bytes[i], 0, handles_[i], 0), "cuMemMap");
    mapped_parts_.push_back(layout.part_bytes[i]);
    offset += layout.part_bytes[i];
  }
  const CUmemAccessDesc desc = {{CU_MEM_LOCATION_TYPE_DEVICE, device_}, CU_MEM_ACCESS_FLAGS_PROT_READ};
  driver_.check(driver_.cuMemSetAccess(address_, bytes, &desc, 1), "cuMemSetAccess");
}

CUresult Mapping::copy_to_host(uint64_t offset, void *buffer, uint64_t bytes) const {
  CUstream stream = nullptr;
  const CUresult created = driver_.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING);
  if (created != CUDA_SUCCESS) return created;
  const CUresult started = driver_.cuMemcpyDtoHAsync_v2(buffer, address_ + offset, bytes, stream);
  const CUresult finished = driver_.cuStreamSynchronize(stream);
  const CUresult destroyed = driver_.cuStreamDestroy_v2(stream);
  if (started != CUDA_SUCCESS) return started;
  return finished != CUDA_SUCCESS ? finished : destroyed;
}

void Mapping::read(uint64_t offset, void *buffer, uint64_t bytes) const {
  DeviceContext context(driver_, device_);
  const CUresult copied = copy_to_host(offset, buffer, bytes);
  context.restore();
  driver_.check(copied, "cuMemcpyDtoHAsync");
}

CUresult Mapping::release_handles() {
  for (; !handles_.empty(); handles_.pop_back()) {
    const CUresult released = driver_.cuMemRelease(handles_.back());
    if (released != CUDA_SUCCESS) return released;
  }
  return CUDA_SUCCESS;
}

CUresult Mapping::unmap() {
  uint64_t end = std::accumulate(mapped_parts_.begin(), mapped_parts_.end(), uint64_t{0});
  for (; !mapped_parts_.empty(); mapped_parts_.pop_back()) {
    end -= mapped_parts_.back();
    const CUresult unmapped = driver_.cuMemUnmap(address_ + end, mapped_parts_.back());
    if (unmapped != CUDA_SUCCESS) return unmapped;
  }
  if (reserved_) {
    const CUresult freed = driver_.cuMemAddressFree(address_, bytes_);
    if (freed != CUDA_SUCCESS) return freed;
  }
  reserved_ = false;
  return CUDA_SUCCESS;
}

void Mapping::release() {
  driver_.check(unmap(), "cuMemUnmap");
}

}  // namespace vram_attach
