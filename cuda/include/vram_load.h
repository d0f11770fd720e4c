/**
 * libvram: loads, which fill an allocation or only digest.
 * Part of vram.h, whose rules hold here too; include that header.
 *
 * A load receives bytes in order. Calls that use one load must not overlap: the second returns VRAM_BUSY.
 *
 * A load without a flat digest can have several writers. Each is a handle that the functions of loads take, has a
 * position of its own, and receives bytes in order from there. Calls that use different writers may overlap. The unit is
 * a group: one writer receives all bytes of a group, and each group is received once.
 *
 * If a step fails because of the driver, a file, a socket or the host's memory, the load has failed: every later call
 * returns the same status, and only vram_load_close() helps. Bytes before the failure may be on the device.
 */
#ifndef VRAM_LOAD_H
#define VRAM_LOAD_H

#include "vram.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Digests that a load computes on the host over the bytes that it receives. */
enum {
  VRAM_LOAD_FLAT = 1 << 0, /* SHA-256 of the bytes */
  VRAM_LOAD_TREE = 1 << 1  /* fs-verity digest of the bytes */
};

/**
 * struct vram_load_result - result of vram_load_finish() and vram_load_complete()
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
 * The bytes are copied to the start of the allocation, or from the offset of vram_load_seek() on. One load can be open
 * on an allocation at a time.
 *
 * Returns:
 * * VRAM_OUT_OF_BOUNDS: unknown flag
 * * VRAM_SEALED
 * * VRAM_BUSY: another load is open on the allocation, another call uses the allocation, or vram_close() runs
 *
 * Threads: never waits, so that the thread of an event loop may call it.
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
 * vram_load_open_writer() - open another writer of a load
 * @load: a load without VRAM_LOAD_FLAT, or one of its writers
 * @out_writer: receives a handle, to be closed with vram_load_close()
 *
 * The position of the new writer is 0. The load ends when the load and all its writers are closed.
 *
 * Returns:
 * * VRAM_LOAD_IN_ORDER
 * * VRAM_BUSY: another call uses @load
 */
VRAM_API vram_status vram_load_open_writer(uint64_t load, uint64_t *out_writer);

/**
 * vram_load_seek() - choose the offset of the next byte
 * @load: a load without VRAM_LOAD_FLAT, or one of its writers
 * @offset: multiple of VRAM_GROUP_BYTES, less than the length of the load
 *
 * A writer that is closed in the middle of a group leaves the load incomplete.
 *
 * Returns:
 * * VRAM_LOAD_IN_ORDER
 * * VRAM_UNALIGNED
 * * VRAM_OUT_OF_BOUNDS: @offset is not inside the load
 * * VRAM_LOAD_INCOMPLETE: the writer is in the middle of a group
 * * VRAM_BUSY: another call uses @load, or vram_close() runs
 *
 * Threads: never waits, so that the thread of an event loop may call it.
 */
VRAM_API vram_status vram_load_seek(uint64_t load, uint64_t offset);

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
 * * VRAM_LOAD_OVERRUN, VRAM_LOAD_OVERLAP: no byte was loaded, and the load can continue
 */
VRAM_API vram_status vram_load_push(uint64_t load, uint32_t slot, uint64_t bytes);

/**
 * vram_load_push_slots() - load bytes from several staging slots in one call
 * @load: a load
 * @slots: indexes of different slots, in the order of their bytes. The library owns these slots until the function
 * returns.
 * @slot_count: number of @slots
 * @bytes: length; every slot but the last one is full
 *
 * Returns:
 * * VRAM_ZERO_LENGTH: @bytes or @slot_count is 0
 * * VRAM_OUT_OF_BOUNDS: a slot is unknown or named twice, or @bytes does not need exactly these slots
 * * VRAM_BUSY: another call uses the load
 * * VRAM_LOAD_OVERRUN, VRAM_LOAD_OVERLAP: no byte was loaded, and the load can continue
 */
VRAM_API vram_status vram_load_push_slots(uint64_t load, const uint32_t *slots, uint32_t slot_count, uint64_t bytes);

/**
 * vram_load_file() - load bytes from a file
 * @load: a load
 * @file: a file
 * @range: which bytes of the file, and how long to wait for them
 * @out_received: receives the number of bytes that were loaded, fewer than all if the file system has not delivered
 * them in time. Continue there when vram_file_info.pending is 0.
 *
 * Reads into pinned buffers of the library, eight of VRAM_GROUP_BYTES for each open file. Reading overlaps with digesting
 * and copying.
 *
 * Returns:
 * * VRAM_ZERO_LENGTH: the range is 0
 * * VRAM_OVERFLOW
 * * VRAM_OUT_OF_BOUNDS: wait_ms is too large
 * * VRAM_BUSY: another call uses the load or reads the file
 * * VRAM_LOAD_OVERRUN, VRAM_LOAD_OVERLAP: no byte was loaded, and the load can continue
 * * those of vram_file_info.status, VRAM_FILE_BUSY: the load has failed
 */
VRAM_API vram_status vram_load_file(uint64_t load, uint64_t file, const vram_file_range *range, uint64_t *out_received);

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
 * * VRAM_LOAD_OVERRUN, VRAM_LOAD_OVERLAP: no byte was loaded, and the load can continue
 * * VRAM_SOCKET_CLOSED: the connection ended before any byte arrived; the load can continue
 */
VRAM_API vram_status vram_load_socket(uint64_t load, int32_t socket, uint64_t bytes, uint32_t wait_ms,
                                      const uint32_t *slots, uint32_t slot_count, uint64_t *out_received);

/**
 * vram_load_seal() - make the parts that are full read-only while the load continues
 * @load: a load
 * @out_sealed_bytes: receives how many bytes, from the start of the allocation, are sealed; 0 for a load on the host
 *
 * Seals only what has arrived without a gap from the start, by all writers together. Sealed bytes can be digested while
 * the next ones arrive. An allocation consists of parts of vram_options.part_bytes, or of longer ones if there would be
 * more than 64. The last part is left for vram_seal().
 *
 * Returns:
 * * VRAM_BUSY: another call uses the load
 */
VRAM_API vram_status vram_load_seal(uint64_t load, uint64_t *out_sealed_bytes);

/**
 * vram_load_finish() - digests of the complete load
 * @load: a load that has received all its bytes, by all writers together
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
 * vram_load_complete() - load the last bytes, finish and close, in one call
 * @load: a load whose other writers are closed
 * @slot: as for vram_load_push()
 * @bytes: as for vram_load_push(); or 0 if all bytes are loaded, and @slot does not matter
 * @out_result: receives the digests
 *
 * Returns what vram_load_push(), vram_load_finish() and vram_load_close() return. After a failure the load is open, and
 * the steps before the failure keep their effect. VRAM_LOAD_INCOMPLETE: @bytes were loaded, and others are missing.
 */
VRAM_API vram_status vram_load_complete(uint64_t load, uint32_t slot, uint64_t bytes, vram_load_result *out_result);

/**
 * vram_load_prove() - vram_load_complete() and vram_prove() in one call
 * @load: a load of an allocation that is not sealed, whose other writers are closed
 * @slot: as for vram_load_complete()
 * @bytes: as for vram_load_complete()
 * @out_result: receives the digests
 * @out_residency: as for vram_prove()
 * @out_hashes: as for vram_prove()
 * @hashes_bytes: size of @out_hashes
 *
 * Returns what the two functions return. If vram_load_complete() fails, nothing is sealed. If vram_prove() fails, the
 * load is closed.
 * * VRAM_OUT_OF_BOUNDS: the load only digests
 */
VRAM_API vram_status vram_load_prove(uint64_t load, uint32_t slot, uint64_t bytes, vram_load_result *out_result,
                                     vram_residency *out_residency, uint8_t *out_hashes, uint64_t hashes_bytes);

/**
 * vram_load_close() - close a load or a writer, complete or not
 * @load: a load or a writer; VRAM_OK if it is already closed
 *
 * The allocation keeps its content. On a driver error the handle stays valid for vram_load_close(), which continues
 * where it stopped.
 *
 * Threads: waits for the call that uses the load.
 */
VRAM_API vram_status vram_load_close(uint64_t load);

#ifdef __cplusplus
}
#endif
#endif
