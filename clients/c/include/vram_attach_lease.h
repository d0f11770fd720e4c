/**
 * The functions of leases, which are attached shards. A part of vram_attach.h, whose rules hold here too. Include that.
 */
#ifndef VRAM_ATTACH_LEASE_H
#define VRAM_ATTACH_LEASE_H

#include "vram_attach.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * struct vram_attach_request - a shard, and what must be true of it
 * @shard_id: name of the shard; null: @model_ref and @shard_index name it
 * @model_ref: the model, if @shard_id is null
 * @shard_index: number of the shard in the model, if @shard_id is null
 * @reserved: 0
 * @gpu_uuid: device that the shard must be on, "GPU-…" as nvidia-smi -L prints it; null: any device of this process
 * @expected_tree_digest: digest that the shard must have; null: any
 * @max_age_seconds: the worker verifies the shard first, if its last verification is older; 0: never
 * @nonce: text that the receipt repeats; null: none
 * @label: text for the worker's log; null: none
 */
typedef struct {
  const char *shard_id;
  const char *model_ref;
  uint32_t shard_index;
  uint32_t reserved;
  const char *gpu_uuid;
  const char *expected_tree_digest;
  uint64_t max_age_seconds;
  const char *nonce;
  const char *label;
} vram_attach_request;

/**
 * vram_attach_shard() - attach a shard and map it
 * @client: a client; if the connection is down, the function reconnects first
 * @request: the shard
 * @out_lease: receives the lease, to be ended with vram_attach_detach()
 * @error: receives the details of a failure
 *
 * Maps all parts of the shard into one range of addresses, with read access for its device. GPUs are matched by UUID,
 * so the ordinals of the two processes may differ. If the thread's current CUDA context is not on that device, the
 * function uses the device's primary context, and retains it as long as the lease. The thread's current context is the
 * same before and after the call.
 *
 * Returns VRAM_ATTACH_OK, INVALID_ARGUMENT, OUT_OF_MEMORY, NOT_CONNECTED, TIMED_OUT, PROTOCOL_ERROR, REFUSED,
 * DESCRIPTORS_LOST, DEVICE_NOT_FOUND or DRIVER_ERROR. After a failure nothing is mapped, and no descriptor is left.
 */
VRAM_ATTACH_API vram_attach_status vram_attach_shard(vram_attach_client *client, const vram_attach_request *request,
                                                     vram_attach_lease **out_lease, vram_attach_error *error);

/** State of a lease. */
enum {
  VRAM_ATTACH_ACTIVE = 0,   /* the worker knows the lease */
  VRAM_ATTACH_ORPHANED = 1, /* the connection is down; the memory is readable, and the client tries to resume */
  VRAM_ATTACH_STALE = 2     /* the worker no longer has this memory; it is readable until it is detached */
};

/**
 * struct vram_attach_lease_info - a lease
 * @address: device address of the first byte
 * @vram_bytes: length of the shard
 * @mapped_bytes: length of the mapping, which ends with padding
 * @device: CUDA ordinal of the device in this process
 * @state: VRAM_ATTACH_ACTIVE, ORPHANED or STALE
 * @lease_id: the worker's name of the lease
 * @allocation_id: the worker's name of the memory; it survives a restart of the worker
 * @handle: the shard's handle, a compact JWS
 * @receipt: the lease's receipt, a compact JWS
 */
typedef struct {
  uint64_t address;
  uint64_t vram_bytes;
  uint64_t mapped_bytes;
  int32_t device;
  uint32_t state;
  const char *lease_id;
  const char *allocation_id;
  const char *handle;
  const char *receipt;
} vram_attach_lease_info;

/**
 * vram_attach_get_lease() - describe a lease
 * @lease: a lease
 * @out_info: receives the description
 *
 * @handle and @receipt change when the lease is resumed or the shard is sealed again. Earlier strings stay valid.
 *
 * Returns VRAM_ATTACH_OK or INVALID_ARGUMENT.
 */
VRAM_ATTACH_API vram_attach_status vram_attach_get_lease(vram_attach_lease *lease, vram_attach_lease_info *out_info);

/**
 * vram_attach_get_path() - path of a file whose content is the memory of a lease
 * @lease: a lease
 * @out_path: receives a path such as "/proc/self/fd/7", valid in this process until the lease is detached
 * @error: receives the details of a failure
 *
 * For an engine that takes a model as a file. The file is the memory of the lease, not a copy: an engine that maps it
 * uses the shard in place. It cannot be opened for writing through the lease's own descriptor, and it is @mapped_bytes
 * long, so padding follows the shard. The engine must close and unmap the file before the lease is detached, because
 * the worker can then reuse the memory.
 *
 * Only the memory of simulated devices is a file, and only a shard of one part is a single file. The lease needs one
 * more descriptor for it.
 *
 * Returns VRAM_ATTACH_OK, INVALID_ARGUMENT, NOT_A_FILE, or OUT_OF_MEMORY: no descriptor was left when the shard was
 * attached.
 */
VRAM_ATTACH_API vram_attach_status vram_attach_get_path(vram_attach_lease *lease, const char **out_path,
                                                        vram_attach_error *error);

/**
 * vram_attach_read() - copy bytes of a shard to host memory
 * @lease: a lease
 * @offset: first byte, counted from the start of the shard
 * @buffer: receives the bytes; may be null if @bytes is 0
 * @bytes: number of bytes; the shard must have them
 * @error: receives the details of a failure
 *
 * For headers and other small parts: the copy runs on a stream of its own, and the function waits for it. It uses a
 * context as vram_attach_shard() does.
 *
 * Returns VRAM_ATTACH_OK, INVALID_ARGUMENT, OUT_OF_MEMORY or DRIVER_ERROR: the content of @buffer is then undefined.
 */
VRAM_ATTACH_API vram_attach_status vram_attach_read(vram_attach_lease *lease, uint64_t offset, void *buffer,
                                                    uint64_t bytes, vram_attach_error *error);

/**
 * vram_attach_detach() - unmap a shard and end its lease
 * @lease: a lease; no kernel may still use its memory. The lease is gone unless the function returns DRIVER_ERROR.
 * @error: receives the details of a failure
 *
 * The worker is notified now, or at the next connection. If tensors of vram_attach_export() are alive, the memory
 * stays mapped until the last one is deleted.
 *
 * Returns VRAM_ATTACH_OK, INVALID_ARGUMENT or DRIVER_ERROR: the memory is still mapped, and the call can be repeated.
 */
VRAM_ATTACH_API vram_attach_status vram_attach_detach(vram_attach_lease *lease, vram_attach_error *error);

/**
 * vram_attach_release() - end a lease without waiting, for finalizers
 * @lease: a lease, which is gone after the call; may be null
 *
 * As vram_attach_detach(). If another thread is inside a call of the same client, that thread detaches the lease at the
 * end of its call. After a driver error the memory stays mapped until the client is closed.
 */
VRAM_ATTACH_API void vram_attach_release(vram_attach_lease *lease);

/**
 * struct vram_attach_tensor - a tensor in a shard, in row-major order
 * @offset: its first byte, counted from the start of the shard
 * @shape: lengths of its dimensions; may be null if there are none
 * @dimensions: number of dimensions, at most 64
 * @type_code: DLDataTypeCode of an element, such as kDLFloat (2)
 * @type_bits: bits of an element
 * @versioned: 1 for a DLManagedTensorVersioned, which says that the memory is read-only; 0 for a DLManagedTensor
 * @reserved: 0
 */
typedef struct {
  uint64_t offset;
  const int64_t *shape;
  int32_t dimensions;
  uint8_t type_code;
  uint8_t type_bits;
  uint8_t versioned;
  uint8_t reserved;
} vram_attach_tensor;

/**
 * vram_attach_export() - give a tensor of a shard to an array library, without a copy
 * @lease: a lease
 * @tensor: the tensor; the shard must have all of its bytes
 * @out_tensor: receives a pointer to the structure of DLPack that @tensor asks for. Its user calls its deleter, once,
 * from any thread.
 * @error: receives the details of a failure
 *
 * The device of the tensor is kDLCUDA, or kDLCPU if it is simulated. The tensor keeps the memory mapped, also after
 * vram_attach_detach() and vram_attach_close(). The function does not check how elements are aligned.
 *
 * Returns VRAM_ATTACH_OK, INVALID_ARGUMENT or OUT_OF_MEMORY.
 */
VRAM_ATTACH_API vram_attach_status vram_attach_export(vram_attach_lease *lease, const vram_attach_tensor *tensor,
                                                      void **out_tensor, vram_attach_error *error);

#ifdef __cplusplus
}
#endif
#endif
