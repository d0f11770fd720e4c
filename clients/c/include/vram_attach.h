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
 * Unmaps the memory of every lease, so no kernel may still use it. The worker sees the end of the connection. If
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
#include "vram_attach_lease.h" /* leases, and tensors in their memory */

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
