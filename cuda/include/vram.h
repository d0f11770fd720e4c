/**
 * libvram: model shards in GPU memory. A shard is loaded once, sealed read-only, and digested on the device.
 *
 * This header is the reference of the C ABI. It is valid C11 and C++17. cuda/example.c is a complete program.
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
  VRAM_BUSY = 15,                /* a load is open on the allocation, or another call uses the load */
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

/* ---- driver ------------------------------------------------------------------------------------------------- */

/**
 * struct vram_options - options of vram_open()
 * @driver_path: library with the CUDA driver API, as dlopen() takes it: "libcuda.so.1", or the simulator
 * @kernels_path: file that cuModuleLoadData() accepts: fatbin, cubin, PTX, or the simulator's module
 * @max_allocation_bytes: limit of one vram_alloc(), at least 1
 * @part_bytes: size of the parts that vram_load_seal() seals, a multiple of VRAM_GROUP_BYTES, at least one group
 * @staging_slots: number of staging slots, VRAM_STAGING_SLOT_BYTES of pinned host memory each, at least 1
 * @min_cuda_version: least CUDA version that the driver must support, as cuDriverGetVersion() counts: 13000 for 13.0
 */
typedef struct {
  const char *driver_path;
  const char *kernels_path;
  uint64_t max_allocation_bytes;
  uint64_t part_bytes;
  uint32_t staging_slots;
  uint32_t min_cuda_version;
} vram_options;

/**
 * vram_open() - load a CUDA driver
 * @options: paths and limits; the library keeps no pointer to them
 * @out_driver: receives a handle, to be closed with vram_close()
 *
 * Uses no device yet; see vram_open_device(). The driver library stays loaded, after a failure as well.
 *
 * Returns:
 * * VRAM_ZERO_LENGTH, VRAM_UNALIGNED: an option is invalid
 * * VRAM_DRIVER_NOT_FOUND, VRAM_DRIVER_INCOMPLETE, VRAM_KERNELS_NOT_FOUND
 * * VRAM_DRIVER_TOO_OLD: the driver supports only versions before @min_cuda_version
 */
VRAM_API vram_status vram_open(const vram_options *options, uint64_t *out_driver);

/**
 * vram_open_device() - use a device
 * @driver: a driver
 * @device: ordinal of the device; VRAM_OK if it is already open
 *
 * Retains the device's primary context, loads the kernels into it, and allocates their scratch memory. The first call
 * also pins the staging slots. On failure everything is undone. If the driver refuses that too, the next call for the
 * device or vram_close() continues.
 *
 * Returns:
 * * VRAM_BAD_DEVICE: the driver has no device with this ordinal
 * * VRAM_UNSUPPORTED_DEVICE
 * * VRAM_OUT_OF_MEMORY: the device has no room for the kernels and their scratch memory
 *
 * Threads: waits for calls in progress, and makes later ones wait.
 */
VRAM_API vram_status vram_open_device(uint64_t driver, uint32_t device);

/**
 * struct vram_driver_info - a driver
 * @cuda_version: CUDA version that the driver supports, as cuDriverGetVersion() counts: 13000 for 13.0
 * @simulated: 1 if the library is the simulator, under any file name, otherwise 0
 */
typedef struct {
  uint32_t cuda_version;
  uint32_t simulated;
} vram_driver_info;

/**
 * vram_driver_get_info() - describe a driver
 * @driver: a driver
 * @out_info: receives the description
 *
 * The simulator is recognized by the functions that it exports in addition to those of a CUDA driver.
 */
VRAM_API vram_status vram_driver_get_info(uint64_t driver, vram_driver_info *out_info);

/**
 * vram_close() - close a driver and everything that belongs to it
 * @driver: a driver; VRAM_OK if it is already closed
 *
 * Closes the driver's loads, wipes and frees its allocations, unpins the staging slots and releases the contexts. On
 * failure the handle stays valid for vram_close(), which continues where it stopped.
 *
 * Threads: waits for calls in progress. Calls that start later return VRAM_STALE_HANDLE.
 */
VRAM_API vram_status vram_close(uint64_t driver);

/**
 * vram_staging() - address of the staging slots
 * @driver: a driver
 * @out_base: receives the address of slot 0; slot i is at i * VRAM_STAGING_SLOT_BYTES
 * @out_slots: receives the number of slots
 *
 * The driver owns the memory and frees it in vram_close(). This is the only address that the library returns.
 *
 * Returns:
 * * VRAM_BAD_DEVICE: no device is open yet
 *
 * Threads: the caller must not write a slot while a call that names it is in progress.
 */
VRAM_API vram_status vram_staging(uint64_t driver, void **out_base, uint32_t *out_slots);

/**
 * struct vram_device_info - a device
 * @name: zero-terminated, as the driver reports it
 * @uuid: as the driver reports it
 * @total_bytes: size of the device's memory
 * @free_bytes: free memory at the time of the call
 * @granularity_bytes: every allocation is rounded up to a multiple of this
 * @alignment_bytes: every allocation starts at a multiple of this, at least 256
 * @mig: 1 if the device is an instance of a partitioned GPU (MIG), so that @uuid is the instance's, otherwise 0
 * @export_status: VRAM_OK if the device can export memory: vram_open_device() exported and imported a granule. Otherwise
 *   VRAM_NOT_EXPORTABLE if the driver does not claim it, VRAM_OUT_OF_MEMORY if the device was full (vram_alloc() then
 *   tries again), or the error that the driver returned
 */
typedef struct {
  char name[256];
  uint8_t uuid[16];
  uint64_t total_bytes;
  uint64_t free_bytes;
  uint64_t granularity_bytes;
  uint64_t alignment_bytes;
  uint32_t mig;
  vram_status export_status;
} vram_device_info;

/**
 * vram_device_count() - number of devices that the driver has, open or not
 * @driver: a driver
 * @out_count: receives the number; ordinals are 0 to count - 1
 */
VRAM_API vram_status vram_device_count(uint64_t driver, uint32_t *out_count);

/**
 * vram_device_get_info() - describe a device
 * @driver: a driver
 * @device: ordinal of an open device
 * @out_info: receives the description
 *
 * Returns:
 * * VRAM_BAD_DEVICE
 */
VRAM_API vram_status vram_device_get_info(uint64_t driver, uint32_t device, vram_device_info *out_info);

/**
 * vram_oldest_driver_call() - detect a CUDA driver that hangs
 *
 * Returns when the longest running driver call of all threads started, in nanoseconds of CLOCK_MONOTONIC, or 0 if no
 * thread is inside the driver. A value that does not change means that the call does not return. Never blocks on the
 * driver.
 */
VRAM_API uint64_t vram_oldest_driver_call(void);

/* ---- process ------------------------------------------------------------------------------------------------ */

/**
 * vram_exit_after() - end the process at a deadline, even if its main thread is blocked
 * @milliseconds: time from now; 0 ends the process at once
 * @status: exit status
 *
 * A thread of the library calls _exit(2), so no exit handler runs and no device memory is wiped. The earliest deadline
 * of all calls holds, with the latest status. It cannot be canceled.
 */
VRAM_API vram_status vram_exit_after(uint64_t milliseconds, int32_t status);

/**
 * vram_exit_after_signal() - the same from the first delivery of a signal on
 * @signal: number of the signal
 * @milliseconds: time from the delivery
 * @status: exit status
 *
 * The library installs a handler that runs the present one afterwards, so call this after the program has installed its
 * own. One time and one status hold for all signals; a repeated call replaces them, even after the delivery.
 *
 * Returns:
 * * VRAM_OUT_OF_BOUNDS: the signal does not exist, or cannot have a handler
 */
VRAM_API vram_status vram_exit_after_signal(int32_t signal, uint64_t milliseconds, int32_t status);

/* ---- files -------------------------------------------------------------------------------------------------- */

/*
 * A call of the file system may never return, for example if a network file system hangs. So only threads of the
 * library make such calls, at most 32. Functions with a file start a call and return, or wait for a limited time. A
 * call that hangs keeps its thread and its buffers, and no others.
 *
 * Files belong to no driver. vram_close() does not close them.
 */

/**
 * vram_file_open() - open a file beneath a directory
 * @directory: path of the directory
 * @path: path of a regular file, relative to @directory
 * @out_file: receives a handle, to be closed with vram_file_close()
 *
 * Returns at once; vram_file_info.pending is 1 until the file is open. Symbolic links are followed if they stay beneath
 * the directory. Neither a link, ".." nor a race leads outside.
 *
 * Returns:
 * * VRAM_FILE_BUSY
 */
VRAM_API vram_status vram_file_open(const char *directory, const char *path, uint64_t *out_file);

/**
 * vram_file_stat() - refresh the size and the modification time of a file
 * @file: a file
 *
 * Returns at once; vram_file_info.pending is 1 until they are refreshed.
 *
 * Returns:
 * * VRAM_BUSY: another call on the file is pending
 * * those of vram_file_info.status, VRAM_FILE_BUSY
 */
VRAM_API vram_status vram_file_stat(uint64_t file);

/**
 * struct vram_file_info - a file
 * @bytes: size
 * @modified_ns: time of the last modification, in nanoseconds since the epoch
 * @status: VRAM_OK, or why the file has failed. A file that has failed must be closed.
 *   VRAM_DIRECTORY_ERROR: the directory cannot be opened. VRAM_NOT_A_FILE: the path names something else.
 *   VRAM_FILE_ERROR: the file cannot be opened or read. VRAM_FILE_TOO_SHORT: a read went beyond its end.
 * @error: the errno of VRAM_DIRECTORY_ERROR and VRAM_FILE_ERROR. EXDEV: the path leads outside the directory.
 * @pending: 1 while a call of the file system is in progress. The other fields are then older than the call.
 * @reserved: 0
 */
typedef struct {
  uint64_t bytes;
  int64_t modified_ns;
  vram_status status;
  int32_t error;
  uint32_t pending;
  uint32_t reserved;
} vram_file_info;

/**
 * vram_file_get_info() - describe a file
 * @file: a file
 * @out_info: receives the description
 *
 * Never waits for the file system.
 */
VRAM_API vram_status vram_file_get_info(uint64_t file, vram_file_info *out_info);

/**
 * vram_file_close() - close a file
 * @file: a file; VRAM_OK if it is already closed
 *
 * Returns at once. A call that is pending ends later, without effect.
 */
VRAM_API vram_status vram_file_close(uint64_t file);

/**
 * vram_oldest_file_call() - detect a file system that hangs
 *
 * Returns when the longest running call of the file system started, in nanoseconds of CLOCK_MONOTONIC, or 0 if none is
 * running. A value that does not change means that the call does not return.
 */
VRAM_API uint64_t vram_oldest_file_call(void);

/**
 * struct vram_file_range - a range of a file, for vram_load_file() and vram_repair()
 * @offset: where to start in the file
 * @bytes: length
 * @wait_ms: time to wait for the file system, in milliseconds, at most INT32_MAX
 * @reserved: 0
 */
typedef struct {
  uint64_t offset;
  uint64_t bytes;
  uint32_t wait_ms;
  uint32_t reserved;
} vram_file_range;

/* ---- allocations -------------------------------------------------------------------------------------------- */

/**
 * struct vram_allocation_info - an allocation
 * @bytes: size that vram_alloc() or vram_adopt() was called with
 * @mapped_bytes: size taken from the device
 * @part_bytes: size of the parts that the memory consists of; the last one may be shorter
 * @alignment_bytes: largest power of two that divides the device address
 * @device: ordinal of the device
 * @sealed: 1 if all of it is sealed, otherwise 0
 * @exportable: 1 if it was allocated with VRAM_ALLOC_EXPORTABLE or adopted, otherwise 0
 * @exported: 1 if another process may have it: it was handed over or adopted. Never returns to 0.
 */
typedef struct {
  uint64_t bytes;
  uint64_t mapped_bytes;
  uint64_t part_bytes;
  uint64_t alignment_bytes;
  uint32_t device;
  uint32_t sealed;
  uint32_t exportable;
  uint32_t exported;
} vram_allocation_info;

/** Flags of vram_alloc(). */
enum {
  VRAM_ALLOC_EXPORTABLE = 1 << 0 /* vram_hand_over() can give the memory to another process */
};

/**
 * vram_alloc() - allocate device memory
 * @driver: a driver
 * @device: ordinal of an open device
 * @bytes: size; rounded up to the device's granularity
 * @flags: VRAM_ALLOC_* bits, or 0. Without VRAM_ALLOC_EXPORTABLE the driver cannot export the memory, now or later.
 * @out_allocation: receives a handle, to be freed with vram_free()
 *
 * The memory is readable and writable by its own device only. Its content is undefined.
 *
 * Returns:
 * * VRAM_BAD_DEVICE, VRAM_ZERO_LENGTH
 * * VRAM_OUT_OF_BOUNDS: unknown flag
 * * VRAM_NOT_EXPORTABLE: the device cannot export memory; see vram_device_info.export_status
 * * VRAM_TOO_LARGE: @bytes exceeds vram_options.max_allocation_bytes
 * * VRAM_OVERFLOW: the rounded size exceeds 64 bits
 * * VRAM_OUT_OF_MEMORY: the device does not have enough free memory or addresses
 */
VRAM_API vram_status vram_alloc(uint64_t driver, uint32_t device, uint64_t bytes, uint32_t flags,
                                uint64_t *out_allocation);

/**
 * vram_allocation_get_info() - describe an allocation
 * @allocation: an allocation
 * @out_info: receives the description
 */
VRAM_API vram_status vram_allocation_get_info(uint64_t allocation, vram_allocation_info *out_info);

/**
 * vram_write() - copy from the host to the device
 * @allocation: an allocation that is not sealed
 * @offset: where to write in the allocation
 * @source: @bytes bytes of any host memory
 * @bytes: length; 0 is allowed
 *
 * Returns when the bytes are on the device. On a driver error some bytes may have been written.
 *
 * Returns:
 * * VRAM_OVERFLOW, VRAM_OUT_OF_BOUNDS
 * * VRAM_SEALED: the allocation is sealed, or a load has sealed the part at @offset
 *
 * Threads: copies of one device run one after another.
 */
VRAM_API vram_status vram_write(uint64_t allocation, uint64_t offset, const void *source, uint64_t bytes);

/**
 * vram_read() - copy from the device to the host
 * @allocation: an allocation that is not sealed
 * @offset: where to read in the allocation
 * @destination: room for @bytes bytes in any host memory; on a driver error it may be partly written
 * @bytes: length; 0 is allowed
 *
 * Sealed memory cannot be read: once sealed, weights do not leave the device.
 *
 * Returns:
 * * VRAM_OVERFLOW, VRAM_OUT_OF_BOUNDS
 * * VRAM_SEALED: the allocation is sealed, or a load has sealed the part at @offset
 *
 * Threads: copies of one device run one after another.
 */
VRAM_API vram_status vram_read(uint64_t allocation, uint64_t offset, void *destination, uint64_t bytes);

/**
 * vram_seal() - make an allocation read-only
 * @allocation: an allocation that is not sealed
 *
 * The device's memory management unit enforces it. Only vram_repair() and vram_free() make the memory writable again.
 *
 * Returns:
 * * VRAM_BUSY: a load is open on the allocation
 * * VRAM_SEALED: it is already sealed
 *
 * Threads: waits for other calls on the allocation.
 */
VRAM_API vram_status vram_seal(uint64_t allocation);

/** Bits of vram_residency.violations. */
enum {
  VRAM_VIOLATION_MEMORY_TYPE = 1 << 0,   /* the pointer's memory type is not DEVICE */
  VRAM_VIOLATION_MANAGED = 1 << 1,       /* it is managed memory, which may migrate */
  VRAM_VIOLATION_ORDINAL = 1 << 2,       /* the pointer belongs to another device */
  VRAM_VIOLATION_HOST_POINTER = 1 << 3,  /* the host can address it */
  VRAM_VIOLATION_LOCATION = 1 << 4,      /* the physical memory's location type is not DEVICE */
  VRAM_VIOLATION_LOCATION_ID = 1 << 5,   /* the physical memory is on another device */
  VRAM_VIOLATION_ACCESS = 1 << 6,        /* its device's access is not READ (sealed) or READWRITE (not sealed) */
  VRAM_VIOLATION_FOREIGN_ACCESS = 1 << 7 /* another device has access */
};

/**
 * struct vram_residency - result of vram_attest()
 * @violations: VRAM_VIOLATION_* bits; 0 if the memory is as promised
 * @sealed: 1 if all of it is sealed, otherwise 0
 */
typedef struct {
  uint32_t violations;
  uint32_t sealed;
} vram_residency;

/**
 * vram_attest() - ask the driver where the memory is and who can access it
 * @allocation: an allocation
 * @out_residency: receives the result, even if the function returns VRAM_POLICY_VIOLATION
 *
 * Every call asks the driver, about the first and the last byte of each part. Nothing is cached.
 *
 * Returns:
 * * VRAM_POLICY_VIOLATION: vram_residency.violations is not 0
 */
VRAM_API vram_status vram_attest(uint64_t allocation, vram_residency *out_residency);

/**
 * vram_digest() - hash a range on the device
 * @allocation: an allocation, sealed or not
 * @offset: start of the range, a multiple of VRAM_GROUP_BYTES
 * @bytes: length; the range ends at a group boundary or at the end of the allocation
 * @out_hashes: receives VRAM_DIGEST_BYTES per group
 * @out_bytes: size of @out_hashes
 *
 * Bytes past the end of the allocation count as zeros, as in fs-verity. Hashing bytes while they are written gives an
 * undefined hash.
 *
 * Returns:
 * * VRAM_ZERO_LENGTH, VRAM_OVERFLOW, VRAM_OUT_OF_BOUNDS, VRAM_UNALIGNED
 * * VRAM_BUFFER_TOO_SMALL: @out_bytes is less than VRAM_DIGEST_BYTES per group
 *
 * Threads: digests of one device run one after another.
 */
VRAM_API vram_status vram_digest(uint64_t allocation, uint64_t offset, uint64_t bytes, uint8_t *out_hashes,
                                 uint64_t out_bytes);

/**
 * vram_repair() - rewrite a range of sealed memory from a file
 * @allocation: a sealed allocation
 * @file: a file that has the allocation's bytes at the same offsets
 * @range: offset is a multiple of VRAM_GROUP_BYTES; the range ends at a group boundary or at the end of the allocation
 * @hashes: expected hash of each group, VRAM_DIGEST_BYTES each
 * @hashes_bytes: size of @hashes
 * @out_repaired: receives how many bytes of the range are rewritten: fewer than all if the file system has not
 * delivered them in time. Continue there when vram_file_info.pending is 0.
 *
 * A group of the file is written only if it has the expected hash, so sealed memory receives no other bytes. The memory
 * is writable while a group is written, and not while the file is read.
 *
 * On failure the groups before the failed one may have been written, and the memory is read-only again. If the driver
 * refuses that as well, the allocation is no longer sealed, as vram_attest() and vram_allocation_get_info() report.
 * Call vram_seal() then.
 *
 * Returns:
 * * VRAM_ZERO_LENGTH, VRAM_OVERFLOW, VRAM_OUT_OF_BOUNDS, VRAM_UNALIGNED
 * * VRAM_BUFFER_TOO_SMALL: @hashes_bytes is less than VRAM_DIGEST_BYTES per group
 * * VRAM_NOT_SEALED
 * * VRAM_BUSY: another call reads the file
 * * VRAM_FILE_DIFFERS: a group of the file has another hash
 * * those of vram_file_info.status, VRAM_FILE_BUSY
 *
 * Threads: each group waits for other calls on the allocation, and makes later ones wait while it is written.
 */
VRAM_API vram_status vram_repair(uint64_t allocation, uint64_t file, const vram_file_range *range,
                                 const uint8_t *hashes, uint64_t hashes_bytes, uint64_t *out_repaired);

/**
 * vram_free() - wipe and free an allocation
 * @allocation: an allocation, sealed or not; VRAM_OK if it is already freed
 *
 * Makes the memory writable, overwrites its bytes, rounded up to 4 KiB, with zeros, and returns it to the device. On a
 * driver error the handle stays valid for vram_free(), which continues where it stopped. Once the wipe has started,
 * other functions return VRAM_STALE_HANDLE.
 *
 * Other processes that have the memory see the zeros, and keep the memory allocated until they release it.
 *
 * Returns:
 * * VRAM_BUSY: a load is open on the allocation
 *
 * Threads: waits for other calls on the allocation.
 */
VRAM_API vram_status vram_free(uint64_t allocation);

/* ---- loads -------------------------------------------------------------------------------------------------- */

/*
 * A load receives bytes in order. Calls that use one load must not overlap: the second returns VRAM_BUSY.
 *
 * If a step fails because of the driver, a file, a socket or the host's memory, the load has failed: every later call
 * returns the same status, and only vram_load_close() helps. Bytes before the failure may be on the device.
 */

/** Digests that a load computes on the host over the bytes that it receives. */
enum {
  VRAM_LOAD_FLAT = 1 << 0, /* SHA-256 of the bytes */
  VRAM_LOAD_TREE = 1 << 1  /* fs-verity digest of the bytes */
};

/**
 * struct vram_load_result - result of vram_load_finish()
 * @flat: SHA-256 of the bytes; zeros without VRAM_LOAD_FLAT
 * @tree: fs-verity digest of the bytes; zeros without VRAM_LOAD_TREE
 */
typedef struct {
  uint8_t flat[VRAM_DIGEST_BYTES];
  uint8_t tree[VRAM_DIGEST_BYTES];
} vram_load_result;

/**
 * vram_load_open() - start filling an allocation
 * @allocation: an allocation that is not sealed; the load expects exactly vram_allocation_info.bytes
 * @flags: VRAM_LOAD_* bits, or 0
 * @out_load: receives a handle, to be closed with vram_load_close()
 *
 * The bytes are copied to the start of the allocation. One load can be open on an allocation at a time.
 *
 * Returns:
 * * VRAM_OUT_OF_BOUNDS: unknown flag
 * * VRAM_SEALED
 * * VRAM_BUSY: another load is open on the allocation
 *
 * Threads: waits for other calls on the allocation.
 */
VRAM_API vram_status vram_load_open(uint64_t allocation, uint32_t flags, uint64_t *out_load);

/**
 * vram_load_open_host() - start a load that only digests, on the host
 * @driver: a driver
 * @bytes: number of bytes that the load expects
 * @flags: VRAM_LOAD_* bits, or 0
 * @out_load: receives a handle, to be closed with vram_load_close()
 *
 * Stores no bytes, and uses no device memory.
 *
 * Returns:
 * * VRAM_OUT_OF_BOUNDS: unknown flag
 * * VRAM_ZERO_LENGTH
 */
VRAM_API vram_status vram_load_open_host(uint64_t driver, uint64_t bytes, uint32_t flags, uint64_t *out_load);

/**
 * vram_load_push() - load bytes from a staging slot
 * @load: a load
 * @slot: index of the slot; the bytes are at its start. The library owns the slot until the function returns.
 * @bytes: length, at most VRAM_STAGING_SLOT_BYTES
 *
 * Returns:
 * * VRAM_ZERO_LENGTH
 * * VRAM_OUT_OF_BOUNDS: unknown slot, or @bytes exceeds a slot
 * * VRAM_BUSY: another call uses the load
 * * VRAM_LOAD_OVERRUN
 */
VRAM_API vram_status vram_load_push(uint64_t load, uint32_t slot, uint64_t bytes);

/**
 * vram_load_file() - load bytes from a file
 * @load: a load
 * @file: a file
 * @range: which bytes of the file, and how long to wait for them
 * @slots: indexes of different staging slots to read into. The library owns these slots until the function returns.
 * @slot_count: number of @slots; with two or more, reading overlaps with digesting and copying
 * @out_received: receives the number of bytes that were loaded, fewer than all if the file system has not delivered
 * them in time. Continue there when vram_file_info.pending is 0.
 *
 * Returns:
 * * VRAM_ZERO_LENGTH: the range or @slot_count is 0
 * * VRAM_OVERFLOW
 * * VRAM_OUT_OF_BOUNDS: a slot is unknown or named twice, or wait_ms is too large
 * * VRAM_BUSY: another call uses the load or reads the file
 * * VRAM_LOAD_OVERRUN
 * * those of vram_file_info.status, VRAM_FILE_BUSY: the load has failed
 */
VRAM_API vram_status vram_load_file(uint64_t load, uint64_t file, const vram_file_range *range, const uint32_t *slots,
                                    uint32_t slot_count, uint64_t *out_received);

/**
 * vram_load_socket() - load bytes from a socket
 * @load: a load
 * @socket: descriptor of a connected stream socket; nothing else may read from it during the call
 * @bytes: largest number of bytes to receive
 * @wait_ms: time to fill one slot, in milliseconds, at most INT32_MAX
 * @slots: indexes of different staging slots to receive into. The library owns these slots until the function returns.
 * @slot_count: number of @slots; with two or more, receiving overlaps with digesting and copying
 * @out_received: receives the number of bytes that were loaded, 0 to @bytes
 *
 * Returns when @bytes bytes are loaded, when a slot was not filled within @wait_ms, or when the connection ended. The
 * bytes that did arrive are loaded in each case.
 *
 * Returns:
 * * VRAM_ZERO_LENGTH: @bytes or @slot_count is 0
 * * VRAM_OUT_OF_BOUNDS: a slot is unknown or named twice, or @wait_ms is too large
 * * VRAM_BUSY: another call uses the load
 * * VRAM_LOAD_OVERRUN
 * * VRAM_SOCKET_CLOSED: the connection ended before any byte arrived; the load has failed
 */
VRAM_API vram_status vram_load_socket(uint64_t load, int32_t socket, uint64_t bytes, uint32_t wait_ms,
                                      const uint32_t *slots, uint32_t slot_count, uint64_t *out_received);

/**
 * vram_load_seal() - make the parts that are full read-only while the load continues
 * @load: a load
 * @out_sealed_bytes: receives how many bytes, from the start of the allocation, are sealed; 0 for a load on the host
 *
 * Sealed bytes can be digested while the next ones arrive. An allocation consists of parts of vram_options.part_bytes,
 * or of longer ones if there would be more than 64. The last part is left for vram_seal().
 *
 * Returns:
 * * VRAM_BUSY: another call uses the load
 */
VRAM_API vram_status vram_load_seal(uint64_t load, uint64_t *out_sealed_bytes);

/**
 * vram_load_finish() - digests of the complete load
 * @load: a load that has received all its bytes
 * @out_result: receives the digests; a second call returns the same
 *
 * When it returns VRAM_OK, every byte is on the device. The load stays open.
 *
 * Returns:
 * * VRAM_BUSY: another call uses the load
 * * VRAM_LOAD_INCOMPLETE: bytes are missing; the load can continue
 */
VRAM_API vram_status vram_load_finish(uint64_t load, vram_load_result *out_result);

/**
 * vram_load_close() - close a load, complete or not
 * @load: a load; VRAM_OK if it is already closed
 *
 * The allocation keeps its content. On a driver error the handle stays valid for vram_load_close(), which continues
 * where it stopped.
 *
 * Threads: waits for the call that uses the load.
 */
VRAM_API vram_status vram_load_close(uint64_t load);

/* ---- tree --------------------------------------------------------------------------------------------------- */

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

#include "vram_export.h"

#ifdef __cplusplus
}
#endif
#endif
