/**
 * libvram: device memory shared with other processes. Part of vram.h, whose rules hold here too; include that header.
 *
 * An exported descriptor is a capability: its holder can map the memory with any access, also for writing, and it
 * cannot be taken back. The driver frees the memory when no process has a handle, a mapping or a descriptor of it.
 *
 * * vram_alloc() with VRAM_ALLOC_EXPORTABLE decides that memory can be exported. This cannot be changed later.
 * * vram_hand_over() gives sealed memory to the process at the other end of a socket.
 * * vram_adopt() takes memory that another process exported, such as the same program before its restart.
 * * vram_leave() gives up memory without a wipe, because another process still reads it.
 * * vram_send() and vram_receive() pass descriptors that a process already has, without a driver.
 *
 * An allocation consists of parts: vram_allocation_info.part_bytes each, the last one may be shorter. One descriptor
 * stands for one part, and descriptors are in the order of the parts. No allocation has more than VRAM_MAX_PARTS.
 */
#ifndef VRAM_EXPORT_H
#define VRAM_EXPORT_H

#include "vram.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VRAM_MAX_PARTS 64u

/**
 * vram_hand_over() - send descriptors of all parts of an allocation
 * @allocation: a sealed allocation that was allocated with VRAM_ALLOC_EXPORTABLE, or adopted
 * @socket: descriptor of a connected Unix stream socket; nothing else may write to it during the call
 * @frame: bytes to send; the descriptors are attached to the first one, in one SCM_RIGHTS message
 * @bytes: length of @frame
 * @out_sent: receives how many bytes of @frame the socket took, at least 1
 *
 * Exports every part, sends, and closes the descriptors. If the function returns VRAM_OK, the peer gets all descriptors
 * with the first byte. The caller sends the rest of @frame, from @out_sent on, without descriptors. With any other
 * status nothing was sent. Never blocks on the socket, in either mode.
 *
 * The receiver must offer room for VRAM_MAX_PARTS descriptors, and must compare their number with the frame: above its
 * limit of open files the kernel drops the rest (MSG_CTRUNC).
 *
 * Returns:
 * * VRAM_ZERO_LENGTH
 * * VRAM_NOT_SEALED
 * * VRAM_NOT_EXPORTABLE: it was not allocated for export
 * * VRAM_WOULD_BLOCK: the socket's buffer is full; call again when the socket is writable
 * * VRAM_SOCKET_CLOSED: the peer closed the connection, it failed, or @socket is not such a socket
 * * VRAM_HOST_OUT_OF_MEMORY: also if this user's processes have too many descriptors in unread messages
 *
 * Threads: waits for vram_repair().
 */
VRAM_API vram_status vram_hand_over(uint64_t allocation, int32_t socket, const void *frame, uint64_t bytes,
                                    uint64_t *out_sent);

/**
 * vram_adopt() - map memory that another process exported
 * @driver: a driver
 * @device: ordinal of the device that has the memory
 * @bytes: vram_allocation_info.bytes in the process that allocated it
 * @part_bytes: vram_allocation_info.part_bytes in that process
 * @descriptors: one descriptor per part, in order. They stay the caller's, who should close them.
 * @descriptor_count: number of parts, at most VRAM_MAX_PARTS
 * @out_allocation: receives a handle, to be closed with vram_free() or vram_leave()
 *
 * The new allocation is sealed: its device can only read it, and vram_digest() is the first thing to do with it. Other
 * processes may still be able to write it. On failure the memory is unchanged.
 *
 * Returns:
 * * VRAM_BAD_DEVICE
 * * VRAM_ZERO_LENGTH: @bytes, @part_bytes or @descriptor_count is 0
 * * VRAM_TOO_LARGE, VRAM_OVERFLOW: as for vram_alloc()
 * * VRAM_UNALIGNED: @part_bytes is not a multiple of the device's granularity and of VRAM_GROUP_BYTES
 * * VRAM_OUT_OF_BOUNDS: @descriptor_count does not match the sizes, or is above VRAM_MAX_PARTS
 * * VRAM_POLICY_VIOLATION: a descriptor is memory of another device
 * * VRAM_OUT_OF_MEMORY: the device does not have enough free addresses
 * * the error of cuMemImportFromShareableHandle(): a descriptor is not exported memory
 */
VRAM_API vram_status vram_adopt(uint64_t driver, uint32_t device, uint64_t bytes, uint64_t part_bytes,
                                const int32_t *descriptors, uint32_t descriptor_count, uint64_t *out_allocation);

/**
 * vram_leave() - give up exported memory without a wipe
 * @allocation: an allocation that was handed over or adopted; VRAM_OK if it is already closed
 *
 * Unmaps and releases the memory, whose bytes stay for the processes that have it. vram_close() wipes what was not left.
 *
 * On a driver error the handle stays valid for vram_leave() and vram_free(), which both continue without a wipe. Other
 * functions then return VRAM_STALE_HANDLE.
 *
 * Returns:
 * * VRAM_BUSY: a load is open on the allocation
 * * VRAM_NOT_EXPORTED: no other process can have the memory, so it must be wiped: call vram_free()
 *
 * Threads: waits for other calls on the allocation.
 */
VRAM_API vram_status vram_leave(uint64_t allocation);

#define VRAM_MAX_DESCRIPTORS 253u /* in one message: SCM_MAX_FD of Linux */

/**
 * vram_send() - send bytes and descriptors
 * @socket: descriptor of a connected Unix stream socket; nothing else may write to it during the call
 * @frame: bytes to send; the descriptors are attached to the first one
 * @bytes: length of @frame
 * @descriptors: may be null if @descriptor_count is 0. They stay the caller's.
 * @descriptor_count: at most VRAM_MAX_DESCRIPTORS; 0 is allowed
 * @out_sent: receives how many bytes of @frame the socket took, at least 1; as for vram_hand_over()
 *
 * Returns:
 * * VRAM_ZERO_LENGTH: @bytes is 0
 * * VRAM_OUT_OF_BOUNDS: too many descriptors
 * * VRAM_WOULD_BLOCK, VRAM_SOCKET_CLOSED, VRAM_HOST_OUT_OF_MEMORY: as for vram_hand_over()
 */
VRAM_API vram_status vram_send(int32_t socket, const void *frame, uint64_t bytes, const int32_t *descriptors,
                               uint32_t descriptor_count, uint64_t *out_sent);

/**
 * struct vram_received - result of vram_receive()
 * @bytes: number of bytes received, at least 1
 * @descriptor_count: number of descriptors received with them
 * @truncated: 1 if the peer sent more descriptors than the caller or this process has room for, otherwise 0
 */
typedef struct {
  uint64_t bytes;
  uint32_t descriptor_count;
  uint32_t truncated;
} vram_received;

/**
 * vram_receive() - receive bytes and descriptors
 * @socket: descriptor of a connected Unix stream socket; nothing else may read from it during the call
 * @buffer: receives the bytes
 * @bytes: size of @buffer
 * @descriptors: receives the descriptors, which the caller must close. Programs that this process executes do not
 *   inherit them. May be null if @capacity is 0.
 * @capacity: largest number of @descriptors; those above it are closed. At most VRAM_MAX_DESCRIPTORS, 0 is allowed.
 * @out_received: receives the result
 *
 * One call never returns the descriptors of two messages. Never blocks on the socket, in either mode.
 *
 * Returns:
 * * VRAM_ZERO_LENGTH: @bytes is 0
 * * VRAM_OUT_OF_BOUNDS: @capacity is too large
 * * VRAM_WOULD_BLOCK: nothing has arrived
 * * VRAM_SOCKET_CLOSED: the peer closed the connection, it failed, or @socket is not a socket
 */
VRAM_API vram_status vram_receive(int32_t socket, void *buffer, uint64_t bytes, int32_t *descriptors, uint32_t capacity,
                                  vram_received *out_received);

#ifdef __cplusplus
}
#endif
#endif
