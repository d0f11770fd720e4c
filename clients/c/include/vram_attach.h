/**
 * libvram_attach: use sealed shards of vram-residency in place, from another process on the same host.
 *
 * The library connects to a worker's socket, attaches to shards, and maps their memory, read-only, into this process.
 * Nothing is copied. It loads the CUDA driver by path, at run time. It parses no model format.
 *
 * This header is the reference of the C ABI. It is valid C11 and C++17. clients/c/example.c is a complete program.
 *
 * Objects
 *
 * * A *client* is a connection to one worker: vram_attach_connect() … vram_attach_close().
 * * A *lease* is an attached shard: vram_attach_shard() … vram_attach_detach(). It belongs to its client.
 *
 * A lease outlives its connection. If the worker dies, the memory stays mapped and readable. The client reports the
 * lease as orphaned, reconnects, and resumes it. vram_attach_next_event() does this work, so call it when the
 * descriptor of vram_attach_event_descriptor() is readable.
 *
 * Rules for every function
 *
 * * The memory is read-only. A write from a kernel destroys the CUDA context; on the simulator it causes SIGSEGV. Copy
 * everything that must be written, such as buffers and scales.
 * * Strings are zero-terminated UTF-8. Input strings are borrowed for the call. A null input string means "not given".
 * * Output strings belong to the object that they describe, and stay valid as long as it does.
 * * @error may be null. If the function fails, it receives the details; otherwise it is not changed.
 * * Any thread may call any function. Calls that use one client run one after another. Close a client only when no
 * other call uses it.
 * * A child process must not use a client of its parent: its calls fail, and nothing is detached.
 * * Functions that wait do so at most vram_attach_options.timeout_ms.
 * * The library raises no signal, changes no signal handler, and lets no C++ exception out.
 */
#ifndef VRAM_ATTACH_H
#define VRAM_ATTACH_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VRAM_ATTACH_API __attribute__((visibility("default")))

#define VRAM_ATTACH_VERSION 1u /* of the ABI and of the wire format */
#define VRAM_ATTACH_DEFAULT_SOCKET "/run/vram-residency/attach.sock"
#define VRAM_ATTACH_DEFAULT_DRIVER "libcuda.so.1"

typedef int32_t vram_attach_status;
enum {
  VRAM_ATTACH_OK = 0,
  VRAM_ATTACH_INVALID_ARGUMENT = 1, /* a pointer is null, a size is wrong, or a string has a line break */
  VRAM_ATTACH_OUT_OF_MEMORY = 2,    /* the host has too little memory or too few descriptors */
  VRAM_ATTACH_NOT_CONNECTED = 3,    /* the socket cannot be reached, or the connection ended */
  VRAM_ATTACH_TIMED_OUT = 4,        /* no answer within vram_attach_options.timeout_ms */
  VRAM_ATTACH_PROTOCOL_ERROR = 5,   /* the worker's answer is invalid */
  VRAM_ATTACH_REFUSED = 6,          /* the worker refused; vram_attach_error.code says why */
  VRAM_ATTACH_DESCRIPTORS_LOST = 7, /* the limit of open files is too low: raise RLIMIT_NOFILE */
  VRAM_ATTACH_DRIVER_NOT_FOUND = 8, /* the CUDA driver cannot be loaded, or lacks a function */
  VRAM_ATTACH_DEVICE_NOT_FOUND = 9, /* no device of this process has the UUID */
  VRAM_ATTACH_DRIVER_ERROR = 10,    /* a driver call failed; vram_attach_error.driver_result has its CUresult */
  VRAM_ATTACH_NO_EVENT = 11,        /* no event is waiting */
  VRAM_ATTACH_NOT_A_FILE = 12       /* the memory is not one file */
};

/**
 * vram_attach_status_name() - name of a status
 * @status: any number
 *
 * Returns "VRAM_ATTACH_REFUSED" and so on, "VRAM_ATTACH_UNKNOWN" for other numbers. Static, never null.
 */
VRAM_ATTACH_API const char *vram_attach_status_name(vram_attach_status status);

/** vram_attach_version() - VRAM_ATTACH_VERSION as it was when the library was compiled */
VRAM_ATTACH_API uint32_t vram_attach_version(void);

/**
 * struct vram_attach_error - details of a failure
 * @code: with VRAM_ATTACH_REFUSED the worker's error code, such as "NOT_FOUND"; otherwise empty
 * @detail: one sentence for a log
 * @driver_result: with VRAM_ATTACH_DRIVER_ERROR the CUresult, otherwise 0
 * @retriable: 1 if the same call can succeed later, otherwise 0
 * @retry_after_ms: how long to wait before that, in milliseconds; 0 if the worker did not say
 */
typedef struct {
  char code[64];
  char detail[448];
  int32_t driver_result;
  uint32_t retriable;
  uint64_t retry_after_ms;
} vram_attach_error;

/* ---- client ------------------------------------------------------------------------------------------------- */

typedef struct vram_attach_client vram_attach_client;

/**
 * struct vram_attach_options - options of vram_attach_connect(); zeros are the defaults
 * @socket_path: path of the worker's socket; null: VRAM_ATTACH_DEFAULT_SOCKET
 * @driver_path: library with the CUDA driver API, as dlopen() takes it; null: VRAM_ATTACH_DEFAULT_DRIVER
 * @client_name: name and version of the program, for the worker's log; null: "libvram_attach/1"
 * @token: secret that the worker may require; null: none
 * @timeout_ms: longest wait for an answer, in milliseconds; 0: 30000
 * @reserved: 0
 */
typedef struct {
  const char *socket_path;
  const char *driver_path;
  const char *client_name;
  const char *token;
  uint32_t timeout_ms;
  uint32_t reserved;
} vram_attach_options;

/**
 * vram_attach_connect() - connect to a worker
 * @options: the library copies what it needs; may be null
 * @out_client: receives the client, to be closed with vram_attach_close()
 * @error: receives the details of a failure
 *
 * Loads the driver, which stays loaded, and calls cuInit(). Makes no other driver call.
 *
 * Returns VRAM_ATTACH_OK, INVALID_ARGUMENT, OUT_OF_MEMORY, NOT_CONNECTED, TIMED_OUT, PROTOCOL_ERROR, REFUSED (wrong
 * user, token or version), DRIVER_NOT_FOUND or DRIVER_ERROR.
 */
VRAM_ATTACH_API vram_attach_status vram_attach_connect(const vram_attach_options *options,
                                                       vram_attach_client **out_client, vram_attach_error *error);

/**
 * vram_attach_close() - detach all leases and disconnect
 * @client: a client; may be null
 *
 * Unmaps the memory of every lease, so no kernel may use it any more. The worker sees the end of the connection. If
 * tensors of vram_attach_export() are alive, their leases and the connection stay until the last one is deleted.
 */
VRAM_ATTACH_API void vram_attach_close(vram_attach_client *client);

/**
 * struct vram_attach_worker - the worker at the other end
 * @worker_id: its name, as in the handles' claim "iss"
 * @boot_id: changes when the worker restarts
 * @driver: "cuda", "simulated" or "override"
 * @simulated: 1 if the devices are simulated, otherwise 0
 * @connected: 1 if the connection is up, otherwise 0
 */
typedef struct {
  const char *worker_id;
  const char *boot_id;
  const char *driver;
  uint32_t simulated;
  uint32_t connected;
} vram_attach_worker;

/**
 * vram_attach_get_worker() - describe the worker
 * @client: a client
 * @out_worker: receives the description, as of the last connection
 *
 * Returns VRAM_ATTACH_OK or INVALID_ARGUMENT.
 */
VRAM_ATTACH_API vram_attach_status vram_attach_get_worker(vram_attach_client *client, vram_attach_worker *out_worker);

/* ---- shards ------------------------------------------------------------------------------------------------- */

/**
 * struct vram_attach_shard_info - a shard that the worker has
 * @shard_id: its name
 * @model_ref: the model that it is part of
 * @tree_digest: fs-verity digest, "sha256:" and 64 hexadecimal digits
 * @state: "sealed", "corrupt" and so on
 * @shard_index: its number in the model, from 0
 * @total_shards: number of shards of the model
 * @vram_bytes: its length
 * @exportable: 1 if it can be attached, otherwise 0
 * @reserved: 0
 */
typedef struct {
  const char *shard_id;
  const char *model_ref;
  const char *tree_digest;
  const char *state;
  uint32_t shard_index;
  uint32_t total_shards;
  uint64_t vram_bytes;
  uint32_t exportable;
  uint32_t reserved;
} vram_attach_shard_info;

/**
 * vram_attach_list() - list the worker's shards
 * @client: a client
 * @model_ref: only shards of this model; null: all
 * @gpu_uuid: only shards on this device; null: all
 * @visit: called once for each shard; its argument is valid until it returns
 * @context: passed to @visit
 * @error: receives the details of a failure; @visit may have been called before it
 *
 * Returns VRAM_ATTACH_OK, INVALID_ARGUMENT, OUT_OF_MEMORY, NOT_CONNECTED, TIMED_OUT, PROTOCOL_ERROR or REFUSED.
 */
VRAM_ATTACH_API vram_attach_status vram_attach_list(vram_attach_client *client, const char *model_ref,
                                                    const char *gpu_uuid,
                                                    void (*visit)(const vram_attach_shard_info *shard, void *context),
                                                    void *context, vram_attach_error *error);

typedef struct vram_attach_lease vram_attach_lease;

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
 * @lease: a lease; no kernel may use its memory any more. The lease is gone unless the function returns DRIVER_ERROR.
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

/* ---- events ------------------------------------------------------------------------------------------------- */

enum {
  VRAM_ATTACH_EVENT_CORRUPT = 1,    /* the worker found damage in the shard: do not trust its bytes */
  VRAM_ATTACH_EVENT_REPAIRED = 2,   /* the shard has its sealed bytes again */
  VRAM_ATTACH_EVENT_SUPERSEDED = 3, /* the shard has a new handle */
  VRAM_ATTACH_EVENT_RELEASING = 4,  /* the worker releases the shard: detach before the deadline */
  VRAM_ATTACH_EVENT_DRAINING = 5,   /* the worker shuts down */
  VRAM_ATTACH_EVENT_VERIFIED = 6,   /* the worker verified the shard */
  VRAM_ATTACH_EVENT_ORPHANED = 7,   /* the connection ended; the client reconnects */
  VRAM_ATTACH_EVENT_RESUMED = 8,    /* the worker resumed the lease */
  VRAM_ATTACH_EVENT_STALE = 9       /* the worker no longer has this memory */
};

/**
 * struct vram_attach_event - an event
 * @type: VRAM_ATTACH_EVENT_*
 * @reserved: 0
 * @lease: the lease; null if the event does not concern a lease, or if the lease was detached
 * @shard_id: the shard; empty if the event does not concern a shard. Valid until the next call of
 * vram_attach_next_event().
 * @deadline_ms: with RELEASING: time left, in milliseconds; otherwise 0
 */
typedef struct {
  uint32_t type;
  uint32_t reserved;
  vram_attach_lease *lease;
  const char *shard_id;
  uint64_t deadline_ms;
} vram_attach_event;

/**
 * vram_attach_event_descriptor() - descriptor that is readable when vram_attach_next_event() has work
 * @client: a client
 *
 * For poll(), select() or epoll. The client owns the descriptor: it must be neither read nor closed.
 *
 * Returns the descriptor, or -1 if @client is null.
 */
VRAM_ATTACH_API int32_t vram_attach_event_descriptor(const vram_attach_client *client);

/**
 * vram_attach_next_event() - take the next event
 * @client: a client
 * @out_event: receives the event
 *
 * Reads the socket without waiting. If the connection is down, it also reconnects and resumes, when that is due. Call
 * it until it returns VRAM_ATTACH_NO_EVENT.
 *
 * Returns VRAM_ATTACH_OK, NO_EVENT, INVALID_ARGUMENT or OUT_OF_MEMORY.
 */
VRAM_ATTACH_API vram_attach_status vram_attach_next_event(vram_attach_client *client, vram_attach_event *out_event);

#ifdef __cplusplus
}
#endif
#endif
