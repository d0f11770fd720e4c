/** Tensors of a shard in the form of DLPack, which array libraries take without a copy. */
#pragma once

#include <cstdint>

#include "../include/vram_attach.h"

namespace vram_attach {

class Client;
class Lease;

// The names, values and layouts of DLPack 1.1 (dlpack.h).
enum DLDeviceType : int32_t { kDLCPU = 1, kDLCUDA = 2 };
constexpr uint64_t DLPACK_FLAG_BITMASK_READ_ONLY = 1;

struct DLPackVersion {
  uint32_t major, minor;
};
struct DLDevice {
  DLDeviceType device_type;
  int32_t device_id;
};
struct DLDataType {
  uint8_t code, bits;
  uint16_t lanes;
};
struct DLTensor {
  void *data;
  DLDevice device;
  int32_t ndim;
  DLDataType dtype;
  int64_t *shape;
  int64_t *strides;  // in elements
  uint64_t byte_offset;
};
struct DLManagedTensor {
  DLTensor dl_tensor;
  void *manager_ctx;
  void (*deleter)(DLManagedTensor *self);
};
struct DLManagedTensorVersioned {
  DLPackVersion version;
  void *manager_ctx;
  void (*deleter)(DLManagedTensorVersioned *self);
  uint64_t flags;
  DLTensor dl_tensor;
};

/** See vram_attach_export(). The tensor holds a reference to the lease. Throws VRAM_ATTACH_INVALID_ARGUMENT. */
void *export_tensor(Client &client, Lease &lease, const vram_attach_tensor &tensor);

}  // namespace vram_attach
