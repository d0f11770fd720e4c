/**
 * libvram: memory of one device: allocated, sealed, digested, repaired, freed.
 * Part of vram.h, whose rules hold here too; include that header.
 */
#ifndef VRAM_ALLOCATION_H
#define VRAM_ALLOCATION_H

#include "vram.h"

#ifdef __cplusplus
extern "C" {
#endif

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
 * vram_prove() - seal, attest and digest an allocation, in one call
 * @allocation: an allocation that is not sealed
 * @out_residency: receives the result of vram_attest(), even if the function returns VRAM_POLICY_VIOLATION
 * @out_hashes: receives VRAM_DIGEST_BYTES per group of the whole allocation
 * @out_bytes: size of @out_hashes
 *
 * Returns what vram_seal(), vram_attest() and vram_digest() return. After a failure the later steps do not run, and the
 * earlier ones keep their effect: the memory stays sealed.
 */
VRAM_API vram_status vram_prove(uint64_t allocation, vram_residency *out_residency, uint8_t *out_hashes,
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
 * vram_repair_bytes() - rewrite a range of sealed memory from bytes in host memory
 * @allocation: a sealed allocation
 * @offset: where the bytes belong, a multiple of VRAM_GROUP_BYTES
 * @data: the bytes
 * @bytes: their number; they end at a group boundary or at the end of the allocation
 * @hashes: expected hash of each group, VRAM_DIGEST_BYTES each
 * @hashes_bytes: size of @hashes
 *
 * As vram_repair(): only groups with the expected hash are written.
 *
 * Returns:
 * * VRAM_ZERO_LENGTH, VRAM_OVERFLOW, VRAM_OUT_OF_BOUNDS, VRAM_UNALIGNED
 * * VRAM_BUFFER_TOO_SMALL: @hashes_bytes is less than VRAM_DIGEST_BYTES per group
 * * VRAM_NOT_SEALED
 * * VRAM_FILE_DIFFERS: a group has another hash
 *
 * Threads: waits for other calls on the allocation.
 */
VRAM_API vram_status vram_repair_bytes(uint64_t allocation, uint64_t offset, const uint8_t *data, uint64_t bytes,
                                       const uint8_t *hashes, uint64_t hashes_bytes);

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

#ifdef __cplusplus
}
#endif
#endif
