/**
 * libvram: model shards in GPU memory, written once, sealed read-only, and digested where they lie.
 *
 * Rules that hold for every function
 *
 *  - Returns a vram_status. VRAM_OK is 0; VRAM_DRIVER_ERROR_BASE + n says that the CUDA driver answered CUresult n.
 *    On anything but VRAM_OK nothing was written through an out pointer, and nothing has changed unless it says so.
 *    A load that failed for a reason of the driver's, a file's, a socket's or the host's memory stays failed: only
 *    closing it helps.
 *  - Arguments are checked in this order: null pointers, then the handle, then lengths, ranges and state.
 *  - Any thread may call any function at any time; each sets the device's context itself.
 *  - Sizes and offsets are bytes. No sum of them may pass 2^64: VRAM_OVERFLOW.
 *  - A handle is an opaque number below 2^53, never 0, never issued twice: the handle of something that is gone gets
 *    VRAM_STALE_HANDLE, any other number VRAM_BAD_HANDLE. No device pointer ever leaves the library.
 *  - No C++ exception passes this boundary.
 *
 * Digests are those of fs-verity (SHA-256, blocks of 4096 bytes, no salt; Linux
 * Documentation/filesystems/fsverity.rst). A *group* is 128 blocks, 512 KiB: the run of bytes under one hash of the
 * tree's second level. The device computes one hash a group; only these leave it. The last group may be short. A shard
 * of one block has the block's own hash as its single group hash, as the tree has no second level then.
 */
#ifndef VRAM_H
#define VRAM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VRAM_API __attribute__((visibility("default")))

#define VRAM_ABI_VERSION 1u
#define VRAM_BLOCK_BYTES 4096u
#define VRAM_GROUP_BYTES (128u * VRAM_BLOCK_BYTES)
#define VRAM_DIGEST_BYTES 32u
#define VRAM_STAGING_SLOT_BYTES (1024u * 1024u)

typedef int32_t vram_status;
enum {
  VRAM_OK = 0,
  VRAM_NULL_ARGUMENT = 1,       /* a pointer that must not be null is */
  VRAM_BAD_HANDLE = 2,          /* never issued, or issued for another kind of thing */
  VRAM_STALE_HANDLE = 3,        /* issued once; what it named is gone */
  VRAM_BAD_DEVICE = 4,          /* no such device ordinal */
  VRAM_ZERO_LENGTH = 5,         /* a length that must not be 0 is */
  VRAM_OVERFLOW = 6,            /* offset + length passes 2^64 */
  VRAM_OUT_OF_BOUNDS = 7,       /* the range does not lie inside the allocation; no such slot, flag or option */
  VRAM_TOO_LARGE = 8,           /* more than vram_options.max_allocation_bytes */
  VRAM_UNALIGNED = 9,           /* a digest starts on a group's first byte, a part has whole groups */
  VRAM_BUFFER_TOO_SMALL = 10,   /* the caller's buffer can't hold the answer */
  VRAM_OUT_OF_MEMORY = 11,      /* the device has no room */
  VRAM_HOST_OUT_OF_MEMORY = 12, /* the host has no room */
  VRAM_SEALED = 13,             /* sealed memory is neither written nor read */
  VRAM_NOT_SEALED = 14,         /* only sealed memory has this */
  VRAM_BUSY = 15,               /* a load holds the allocation */
  VRAM_LOAD_OVERRUN = 16,       /* more bytes than the load was opened for */
  VRAM_LOAD_INCOMPLETE = 17,    /* fewer bytes than the load was opened for */
  VRAM_FILE_TOO_SHORT = 18,     /* the file ended before the range did */
  VRAM_FILE_ERROR = 19,         /* the file could not be read */
  VRAM_POLICY_VIOLATION = 20,   /* the memory is not what a seal promises; vram_residency says in what */
  VRAM_UNSUPPORTED_DEVICE = 21, /* a device without virtual memory management */
  VRAM_DRIVER_NOT_FOUND = 22,   /* the driver library can't be loaded */
  VRAM_DRIVER_INCOMPLETE = 23,  /* the driver library lacks a function */
  VRAM_KERNELS_NOT_FOUND = 24,  /* the kernel module can't be read */
  VRAM_INTERNAL = 25,           /* a defect of this library */
  VRAM_SOCKET_CLOSED = 26,      /* the sender closed the connection, or it broke */
  VRAM_FILE_DIFFERS = 27,       /* the file's bytes are not those that belong there */
  VRAM_DRIVER_ERROR_BASE = 10000
};

/** The name of a status, "VRAM_SEALED"; "CUDA_ERROR_…" for a driver's error. Static; never null. */
VRAM_API const char *vram_status_name(vram_status status);

/** VRAM_ABI_VERSION of the library that was loaded. */
VRAM_API uint32_t vram_abi_version(void);

/* ---- driver ------------------------------------------------------------------------------------------------- */

typedef struct {
  const char *driver_path;       /* "libcuda.so.1", or any library with the driver API's names */
  const char *kernels_path;      /* a module that cuModuleLoadData takes: fatbin, cubin, PTX, or the simulator's */
  uint64_t max_allocation_bytes; /* a larger vram_alloc gets VRAM_TOO_LARGE */
  uint64_t part_bytes;           /* what is sealed at a time while a shard arrives: whole groups, at least one */
  uint32_t staging_slots;        /* slots of VRAM_STAGING_SLOT_BYTES pinned host memory, at least 1 */
  uint32_t reserved;             /* 0 */
} vram_options;

/**
 * Loads the driver, retains every device's primary context, loads the kernels into each, pins the staging slots.
 * The caller owns the handle until vram_close. A failure undoes all of it.
 */
VRAM_API vram_status vram_open(const vram_options *options, uint64_t *out_driver);

/**
 * Closes loads, wipes and frees allocations, releases the contexts. The staging memory is gone with it, so the caller
 * has dropped its views. VRAM_OK for a driver that is closed already.
 */
VRAM_API vram_status vram_close(uint64_t driver);

/**
 * The staging slots: one run of slots * VRAM_STAGING_SLOT_BYTES bytes of pinned host memory, valid until vram_close.
 * The only address the library gives out. Whoever writes slot i owns it until the vram_load_push that names it returns.
 */
VRAM_API vram_status vram_staging(uint64_t driver, void **out_base, uint32_t *out_slots);

typedef struct {
  char name[256];
  uint8_t uuid[16];
  uint64_t total_bytes;       /* as the driver reports it */
  uint64_t free_bytes;        /* now */
  uint64_t granularity_bytes; /* every allocation is rounded up to a multiple of it */
  uint64_t alignment_bytes;   /* every allocation starts on a multiple of it, at least 256 */
} vram_device_info;

VRAM_API vram_status vram_device_count(uint64_t driver, uint32_t *out_count);
VRAM_API vram_status vram_device_get_info(uint64_t driver, uint32_t device, vram_device_info *out_info);

/**
 * When the driver call that has been under way longest, of all threads, began: nanoseconds of the monotonic clock; 0
 * where none is. A driver that hangs shows as a number that stays. Waits for nothing.
 */
VRAM_API uint64_t vram_oldest_driver_call(void);

/* ---- allocations -------------------------------------------------------------------------------------------- */

typedef struct {
  uint64_t bytes;           /* as asked for */
  uint64_t mapped_bytes;    /* as taken from the device */
  uint64_t alignment_bytes; /* the largest power of two that divides its device address */
  uint32_t device;
  uint32_t sealed; /* 1 after vram_seal */
} vram_allocation_info;

/**
 * Takes ceil(bytes / granularity) granules of the device, mapped for it alone, readable and writable. The content is
 * whatever was there. The caller owns the handle until vram_free.
 */
VRAM_API vram_status vram_alloc(uint64_t driver, uint32_t device, uint64_t bytes, uint64_t *out_allocation);

VRAM_API vram_status vram_allocation_get_info(uint64_t allocation, vram_allocation_info *out_info);

/** Copies in; returns when the bytes are on the device. 0 bytes at a valid offset is VRAM_OK. */
VRAM_API vram_status vram_write(uint64_t allocation, uint64_t offset, const void *source, uint64_t bytes);

/** Copies out, of unsealed memory only: once sealed, weights do not come back. 0 bytes at a valid offset is VRAM_OK. */
VRAM_API vram_status vram_read(uint64_t allocation, uint64_t offset, void *destination, uint64_t bytes);

/** Maps what is not read-only yet read-only for its device. Once sealed, an allocation stays so until it is freed: a
 *  second call is VRAM_SEALED. VRAM_BUSY while a load is open on it. Nothing but vram_repair and vram_free makes it
 * writable again. */
VRAM_API vram_status vram_seal(uint64_t allocation);

/** Bits of vram_residency.violations. */
enum {
  VRAM_VIOLATION_MEMORY_TYPE = 1 << 0,   /* the pointer is not of type DEVICE */
  VRAM_VIOLATION_MANAGED = 1 << 1,       /* it is managed memory, which may migrate */
  VRAM_VIOLATION_ORDINAL = 1 << 2,       /* it belongs to another device */
  VRAM_VIOLATION_HOST_POINTER = 1 << 3,  /* the host can address it */
  VRAM_VIOLATION_LOCATION = 1 << 4,      /* the physical memory is not of location DEVICE */
  VRAM_VIOLATION_LOCATION_ID = 1 << 5,   /* the physical memory is on another device */
  VRAM_VIOLATION_ACCESS = 1 << 6,        /* our device's access is not READ (sealed), READWRITE (not sealed) */
  VRAM_VIOLATION_FOREIGN_ACCESS = 1 << 7 /* another device has access */
};

typedef struct {
  uint32_t violations; /* 0: all is as promised */
  uint32_t sealed;
} vram_residency;

/**
 * Asks the driver anew where the memory is and who may touch it, at the first and last byte of each part of it.
 * VRAM_POLICY_VIOLATION when a promise does not hold; out_residency is then filled too, the one exception to the rule
 * above.
 */
VRAM_API vram_status vram_attest(uint64_t allocation, vram_residency *out_residency);

/**
 * Digests [offset, offset + bytes) on the device and writes one hash of VRAM_DIGEST_BYTES a group. offset is a multiple
 * of VRAM_GROUP_BYTES; the range ends on one or at the allocation's last byte. Bytes past the end count as the zeros
 * that fs-verity pads with. Works on sealed and unsealed memory. out_bytes is the buffer's size.
 */
VRAM_API vram_status vram_digest(uint64_t allocation, uint64_t offset, uint64_t bytes, uint8_t *out_hashes,
                                 uint64_t out_bytes);

/**
 * Writes [offset, offset + bytes) of sealed memory once more, with the bytes at the same offset of an open file. The
 * range is one that vram_digest takes. `hashes` has the hash of each of its groups: a group of the file that has
 * another is not written, VRAM_FILE_DIFFERS, so sealed memory only ever gets the bytes that belong there. The memory is
 * writable from the first write until the call returns; nothing else uses the allocation meanwhile.
 *
 * On a failure groups before the failed one may have been written. The memory is read-only again, unless the driver
 * refuses that too: then the allocation is not sealed any more, as vram_attest and vram_allocation_info say, until
 * vram_seal succeeds. VRAM_NOT_SEALED for such an allocation, and for one that never was. The descriptor stays the
 * caller's.
 */
VRAM_API vram_status vram_repair(uint64_t allocation, int32_t file, uint64_t offset, uint64_t bytes,
                                 const uint8_t *hashes, uint64_t hashes_bytes);

/**
 * Makes the memory writable, overwrites it with zeros, unmaps it, gives it back. VRAM_OK for an allocation that is
 * freed already. When the driver fails on the way the handle stays good, and another call goes on where this one
 * stopped. VRAM_BUSY while a load is open on it.
 */
VRAM_API vram_status vram_free(uint64_t allocation);

/* ---- loads -------------------------------------------------------------------------------------------------- */

/** What a load computes on the host over the bytes it receives. */
enum { VRAM_LOAD_FLAT = 1 << 0 /* SHA-256 of all bytes */, VRAM_LOAD_TREE = 1 << 1 /* the fs-verity tree's groups */ };

typedef struct {
  uint8_t flat[VRAM_DIGEST_BYTES]; /* SHA-256 of the bytes; zeros without VRAM_LOAD_FLAT */
  uint8_t tree[VRAM_DIGEST_BYTES]; /* fs-verity digest of the bytes; zeros without VRAM_LOAD_TREE */
} vram_load_result;

/**
 * Opens a load: bytes arrive in order, are digested on the host as flags say, and copied to the start of the
 * allocation, of which the load expects exactly vram_allocation_info.bytes. One load an allocation at a time:
 * VRAM_BUSY.
 */
VRAM_API vram_status vram_load_open(uint64_t allocation, uint32_t flags, uint64_t *out_load);

/** Opens a load that digests `bytes` bytes on the host and puts them nowhere: no device memory is taken. */
VRAM_API vram_status vram_load_open_host(uint64_t driver, uint64_t bytes, uint32_t flags, uint64_t *out_load);

/**
 * The next `bytes` bytes are at the start of a staging slot. Returns when the slot may be written again. Calls for one
 * load must not overlap: VRAM_BUSY.
 */
VRAM_API vram_status vram_load_push(uint64_t load, uint32_t slot, uint64_t bytes);

/**
 * The next `bytes` bytes are read from an open file at file_offset, through slot_count staging slots that the caller
 * owns during the call. Reading, digesting and copying overlap. The file descriptor stays the caller's.
 */
VRAM_API vram_status vram_load_file(uint64_t load, int32_t file, uint64_t file_offset, uint64_t bytes,
                                    const uint32_t *slots, uint32_t slot_count);

/**
 * The next bytes are received from a connected stream socket, up to `bytes` of them, as vram_load_file reads them from
 * a file. Returns when all have come, or when the socket has not filled a slot within wait_ms of waiting for it;
 * out_received says how many came. VRAM_SOCKET_CLOSED where none came and none will. The descriptor stays the
 * caller's, and nobody else reads from it meanwhile.
 */
VRAM_API vram_status vram_load_socket(uint64_t load, int32_t socket, uint64_t bytes, uint32_t wait_ms,
                                      const uint32_t *slots, uint32_t slot_count, uint64_t *out_received);

/**
 * Makes memory that this load has filled read-only while it goes on: from the allocation's start, in the parts in
 * which it was taken from the device: of vram_options.part_bytes or, where that would make more than 64, longer. The
 * last of them is left to vram_seal. out_sealed_bytes says how many bytes are sealed now, none of a load that puts its
 * bytes nowhere: they can be digested beside what comes next.
 */
VRAM_API vram_status vram_load_seal(uint64_t load, uint64_t *out_sealed_bytes);

/** Waits until every byte is on the device, and writes the host's digests. VRAM_LOAD_INCOMPLETE if bytes are missing.
 */
VRAM_API vram_status vram_load_finish(uint64_t load, vram_load_result *out_result);

/** Waits for copies under way, then gives the load up. VRAM_OK for one that is closed already. */
VRAM_API vram_status vram_load_close(uint64_t load);

/* ---- the tree above the groups ------------------------------------------------------------------------------ */

/**
 * Folds the group hashes of `bytes` bytes into the fs-verity digest, 32 bytes. group_count is ceil(bytes / group), else
 * VRAM_OUT_OF_BOUNDS; for bytes = 0 it is 0, and group_hashes may be null. Pure.
 */
VRAM_API vram_status vram_tree_digest(const uint8_t *group_hashes, uint64_t group_count, uint64_t bytes,
                                      uint8_t *out_digest);

#ifdef __cplusplus
}
#endif
#endif
