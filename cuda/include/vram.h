/**
 * libvram: model shards in GPU memory. A shard is loaded once, sealed read-only, and digested on the device.
 *
 * This header and those that it includes are the reference of the C ABI. They are valid C11 and C++17. cuda/example.c
 * is a complete program.
 *
 * Objects
 *
 * * A *driver* is a loaded CUDA driver: vram_open(), vram_open_device() … vram_close().
 * * An *allocation* is memory of one device: vram_alloc() … vram_free(). vram_export.h shares it with other processes.
 * * A *load* fills an allocation, or only digests: vram_load_open() … vram_load_close().
 * * A *file* is what a load or a repair reads: vram_file_open() … vram_file_close().
 *
 * Each is named by a handle: a number below 2^53, never 0, never issued twice. The caller owns a handle from the call
 * that returned it until the call that closes it. The library returns no device pointers.
 *
 * Rules for every function
 *
 * * Sizes and offsets are in bytes. Lengths of zero are errors unless the function says otherwise.
 * * Arguments are checked in this order: null pointers, then the handle, then lengths, ranges and state.
 * * Every pointer is borrowed for the duration of the call, and must not be null unless the function says otherwise.
 *   Out pointers are written only if the function returns VRAM_OK. A failed call changes nothing unless the function
 *   says otherwise.
 * * Socket descriptors stay the caller's. The library neither closes them nor changes their flags.
 * * Any thread may call any function at any time. Each call makes the device's context current for its thread.
 * * No C++ exception leaves the library.
 *
 * Statuses that every function may return
 *
 * * VRAM_OK (0): success.
 * * VRAM_NULL_ARGUMENT: a pointer is null.
 * * VRAM_BAD_HANDLE: the handle was never issued, or names another kind of object.
 * * VRAM_STALE_HANDLE: the object, or the driver that it belongs to, is closed.
 * * VRAM_HOST_OUT_OF_MEMORY: the host does not have enough memory.
 * * VRAM_HOST_OUT_OF_THREADS: the host cannot start a thread, because of a limit of the process, the user or the host.
 * * VRAM_DRIVER_ERROR_BASE + n: the CUDA driver returned CUresult n.
 * * VRAM_INTERNAL: a defect of this library.
 *
 * The list "Returns" of a function has only its other statuses.
 *
 * Digests
 *
 * Digests are those of fs-verity with SHA-256, blocks of 4096 bytes and no salt (Linux kernel,
 * Documentation/filesystems/fsverity.rst). A *group* is 128 blocks, 512 KiB: the bytes under one hash of the tree's
 * second level. The last group may be short. The device computes one hash per group, and vram_tree_digest() folds them.
 * A shard of at most one block has no second level, so its group hash is the hash of the block.
 */
#ifndef VRAM_H
#define VRAM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VRAM_API __attribute__((visibility("default")))

#define VRAM_ABI_VERSION 2u
#define VRAM_BLOCK_BYTES 4096u
#define VRAM_GROUP_BYTES (128u * VRAM_BLOCK_BYTES)
#define VRAM_DIGEST_BYTES 32u
#define VRAM_STAGING_SLOT_BYTES (1024u * 1024u)

typedef int32_t vram_status;
enum {
  VRAM_OK = 0,
  VRAM_NULL_ARGUMENT = 1,        /* a pointer that must not be null is null */
  VRAM_BAD_HANDLE = 2,           /* never issued, or issued for another kind of object */
  VRAM_STALE_HANDLE = 3,         /* the object is closed */
  VRAM_BAD_DEVICE = 4,           /* no open device has this ordinal */
  VRAM_ZERO_LENGTH = 5,          /* a length or count that must not be 0 is 0 */
  VRAM_OVERFLOW = 6,             /* offset + length exceeds 2^64 - 1 */
  VRAM_OUT_OF_BOUNDS = 7,        /* the range is not inside the allocation; unknown slot, flag or option */
  VRAM_TOO_LARGE = 8,            /* exceeds vram_options.max_allocation_bytes */
  VRAM_UNALIGNED = 9,            /* not on a group boundary */
  VRAM_BUFFER_TOO_SMALL = 10,    /* the caller's buffer cannot hold the result */
  VRAM_OUT_OF_MEMORY = 11,       /* the device does not have enough free memory */
  VRAM_HOST_OUT_OF_MEMORY = 12,  /* the host does not have enough memory */
  VRAM_SEALED = 13,              /* sealed memory can be neither written nor read */
  VRAM_NOT_SEALED = 14,          /* the memory must be sealed */
  VRAM_BUSY = 15,                /* a load is open on the allocation, or another call uses the object */
  VRAM_LOAD_OVERRUN = 16,        /* more bytes than the load expects */
  VRAM_LOAD_INCOMPLETE = 17,     /* fewer bytes than the load expects */
  VRAM_FILE_TOO_SHORT = 18,      /* the file ends before the range does */
  VRAM_FILE_ERROR = 19,          /* the file cannot be read */
  VRAM_POLICY_VIOLATION = 20,    /* the memory is not as promised; see vram_residency.violations */
  VRAM_UNSUPPORTED_DEVICE = 21,  /* a device lacks virtual memory management */
  VRAM_DRIVER_NOT_FOUND = 22,    /* the driver library cannot be loaded */
  VRAM_DRIVER_INCOMPLETE = 23,   /* the driver library lacks a function */
  VRAM_KERNELS_NOT_FOUND = 24,   /* the kernel module cannot be read */
  VRAM_INTERNAL = 25,            /* a defect of this library */
  VRAM_SOCKET_CLOSED = 26,       /* the peer closed the connection, or it failed */
  VRAM_FILE_DIFFERS = 27,        /* the file's bytes do not have the expected hash */
  VRAM_HOST_OUT_OF_THREADS = 28, /* the host cannot start a thread */
  VRAM_DRIVER_TOO_OLD = 29,      /* the driver supports an older CUDA version than the kernels need */
  VRAM_DIRECTORY_ERROR = 30,     /* the directory of a file cannot be opened */
  VRAM_NOT_A_FILE = 31,          /* the path does not name a regular file */
  VRAM_FILE_BUSY = 32,           /* every thread for files is in a call that does not return */
  VRAM_NOT_EXPORTABLE = 33,      /* the device cannot export memory, or the memory was not allocated for export */
  VRAM_NOT_EXPORTED = 34,        /* no other process can have the memory */
  VRAM_WOULD_BLOCK = 35,         /* the socket cannot take or give a byte now */
  VRAM_LOAD_OVERLAP = 36,        /* another writer of the load has taken these bytes */
  VRAM_LOAD_IN_ORDER = 37,       /* the load computes a flat digest, so its bytes must arrive in order */
  VRAM_DRIVER_ERROR_BASE = 10000
};

/**
 * vram_status_name() - name of a status
 * @status: any number
 *
 * Returns "VRAM_SEALED" and so on, "CUDA_ERROR_…" for a driver error, "VRAM_UNKNOWN" for other numbers. The string is
 * static and never null.
 */
VRAM_API const char *vram_status_name(vram_status status);

/**
 * vram_abi_version() - ABI version of the loaded library
 *
 * Returns VRAM_ABI_VERSION as it was when the library was compiled.
 */
VRAM_API uint32_t vram_abi_version(void);

/**
 * vram_tree_digest() - fold group hashes into the fs-verity digest
 * @group_hashes: VRAM_DIGEST_BYTES per group; may be null if @bytes is 0
 * @group_count: number of groups in @bytes bytes, the last one may be short
 * @bytes: length of the data; 0 is allowed
 * @out_digest: receives VRAM_DIGEST_BYTES
 *
 * Computes on the host and needs no driver.
 *
 * Returns:
 * * VRAM_OUT_OF_BOUNDS: @group_count does not match @bytes
 */
VRAM_API vram_status vram_tree_digest(const uint8_t *group_hashes, uint64_t group_count, uint64_t bytes,
                                      uint8_t *out_digest);

#ifdef __cplusplus
}
#endif

#include "vram_driver.h"
#include "vram_file.h"
#include "vram_allocation.h"
#include "vram_load.h"
#include "vram_export.h"

#endif
