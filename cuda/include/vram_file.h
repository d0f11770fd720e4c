/**
 * libvram: files that loads and repairs read. Part of vram.h, whose rules hold here too; include that header.
 *
 * A call of the file system may never return, for example if a network file system hangs. So only threads of the
 * library make such calls, at most 32. Functions with a file start a call and return, or wait for a limited time. A
 * call that hangs keeps its thread and its buffers, and no others.
 *
 * Files belong to no driver. vram_close() does not close them.
 */
#ifndef VRAM_FILE_H
#define VRAM_FILE_H

#include "vram.h"

#ifdef __cplusplus
extern "C" {
#endif

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
 * vram_link_open() - open the target of a symbolic link as a file
 * @directory: path of the directory
 * @path: path of a symbolic link, relative to @directory
 * @out_file: receives a handle, to be closed with vram_file_close()
 *
 * As vram_file_open(), but the bytes of the file are the target of the link. The link itself is not followed.
 *
 * Returns:
 * * VRAM_FILE_BUSY
 */
VRAM_API vram_status vram_link_open(const char *directory, const char *path, uint64_t *out_file);

/**
 * vram_list_open() - open the list of a folder as a file
 * @directory: path of the directory
 * @path: path of a folder, relative to @directory; empty for the directory itself
 * @max_entries: the most names, folders included; with more, vram_file_info.error is E2BIG
 * @out_file: receives a handle, to be closed with vram_file_close()
 *
 * As vram_file_open(), but the bytes of the file are the paths of all files and links below the folder, relative to it,
 * each with a NUL behind it, in no order. Links below it are not followed.
 *
 * Returns:
 * * VRAM_FILE_BUSY
 */
VRAM_API vram_status vram_list_open(const char *directory, const char *path, uint32_t max_entries, uint64_t *out_file);

/**
 * vram_file_reopen() - open a file again, also if another file has taken its path
 * @file: a file that is open
 * @out_file: receives a handle, to be closed with vram_file_close()
 *
 * Returns at once, as vram_file_open(). Both can be read at the same time. vram_file_info.status is VRAM_STALE_HANDLE if
 * @file is closed, or not open yet, before that.
 *
 * Returns:
 * * VRAM_FILE_BUSY
 */
VRAM_API vram_status vram_file_reopen(uint64_t file, uint64_t *out_file);

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
 * struct vram_file_range - a range of a file, for vram_load_file(), vram_repair() and vram_file_read()
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

/**
 * vram_file_read() - read a range of a file into memory
 * @file: a file
 * @range: the range
 * @out_bytes: receives the bytes
 * @out_size: size of @out_bytes, at least @range->bytes
 * @out_read: receives the number of bytes: fewer than all if the file system has not delivered them in time. Continue
 *   there when vram_file_info.pending is 0.
 *
 * Returns:
 * * VRAM_BUFFER_TOO_SMALL, VRAM_OUT_OF_BOUNDS, VRAM_OVERFLOW
 * * VRAM_BUSY: another call reads the file
 * * those of vram_file_info.status, VRAM_FILE_BUSY
 */
VRAM_API vram_status vram_file_read(uint64_t file, const vram_file_range *range, uint8_t *out_bytes, uint64_t out_size,
                                    uint64_t *out_read);

#ifdef __cplusplus
}
#endif
#endif
