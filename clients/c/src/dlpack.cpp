#include "dlpack.h"

#include <vector>

#include "client.h"

namespace vram_attach {
namespace {

constexpr int32_t kMaxDimensions = 64;

/** An exported tensor and its reference to the lease. One of the two managed tensors is in use. */
struct Export {
  std::shared_ptr<Client> client;
  Lease *lease;
  std::vector<int64_t> shape, strides;
  DLManagedTensor managed;
  DLManagedTensorVersioned versioned;
};

template <typename Managed>
void release(Managed *self) {
  auto *const exported = static_cast<Export *>(self->manager_ctx);
  // A child process keeps its copy of the client: the end of it would detach the leases of the parent.
  if (!exported->client->is_own_process()) return;
  exported->client->drop(*exported->lease);
  delete exported;
}

Failure invalid(const char *detail) {
  return {VRAM_ATTACH_INVALID_ARGUMENT, detail};
}

/** Fills in compact strides. Returns the bytes that the elements take. */
uint64_t lay_out(Export &exported, uint8_t type_bits) {
  // A length of 0 does not make an overflow of the strides valid.
  uint64_t bits = type_bits, stride = 1;
  for (size_t i = exported.shape.size(); i-- > 0;) {
    const int64_t length = exported.shape[i];
    if (length < 0) throw invalid("a dimension of the tensor is negative");
    exported.strides[i] = static_cast<int64_t>(stride);
    const auto factor = static_cast<uint64_t>(length != 0 ? length : 1);
    if (__builtin_mul_overflow(stride, factor, &stride) || stride > INT64_MAX ||
        __builtin_mul_overflow(bits, static_cast<uint64_t>(length), &bits)) {
      throw invalid("the tensor is too large");
    }
  }
  return bits / 8 + (bits % 8 != 0 ? 1 : 0);
}

void check(const vram_attach_tensor &tensor) {
  if (tensor.dimensions < 0 || tensor.dimensions > kMaxDimensions) throw invalid("dimensions is out of range");
  if (tensor.dimensions != 0 && tensor.shape == nullptr) throw invalid("shape is null");
  if (tensor.type_bits == 0) throw invalid("type_bits is 0");
  if (tensor.reserved != 0) throw invalid("reserved is not 0");
}

}  // namespace

void *export_tensor(Client &client, Lease &lease, const vram_attach_tensor &tensor) {
  check(tensor);
  const auto dimensions = static_cast<size_t>(tensor.dimensions);
  auto exported = std::make_unique<Export>();
  exported->shape.assign(tensor.shape, tensor.shape + dimensions);
  exported->strides.resize(dimensions);
  const uint64_t bytes = lay_out(*exported, tensor.type_bits);
  const vram_attach_lease_info info = lease.info();
  if (tensor.offset > info.vram_bytes || bytes > info.vram_bytes - tensor.offset) {
    throw invalid("the tensor ends after the shard");
  }
  const DLDevice device = client.worker().simulated != 0 ? DLDevice{kDLCPU, 0} : DLDevice{kDLCUDA, info.device};
  const DLDataType type = {tensor.type_code, tensor.type_bits, 1};
  void *const data = bytes != 0 ? reinterpret_cast<void *>(info.address + tensor.offset) : nullptr;
  const DLTensor dl_tensor = {data, device, tensor.dimensions, type, exported->shape.data(), exported->strides.data(),
                              0};
  exported->managed = {dl_tensor, exported.get(), release<DLManagedTensor>};
  exported->versioned = {{1, 1},  exported.get(), release<DLManagedTensorVersioned>, DLPACK_FLAG_BITMASK_READ_ONLY,
                         dl_tensor};
  exported->client = client.shared();
  exported->lease = &lease;
  lease.add_reference();
  Export *const out = exported.release();
  return tensor.versioned != 0 ? static_cast<void *>(&out->versioned) : static_cast<void *>(&out->managed);
}

}  // namespace vram_attach
