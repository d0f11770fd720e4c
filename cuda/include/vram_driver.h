/**
 * libvram: the CUDA driver, its devices and its staging slots, and the end of the process.
 * Part of vram.h, whose rules hold here too; include that header.
 */
#ifndef VRAM_DRIVER_H
#define VRAM_DRIVER_H

#include "vram.h"

#ifdef __cplusplus
extern "C" {
#endif

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
 * Closes the driver's loads, wipes and frees its allocations, unpins the host memory and releases the contexts. On
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
 * First retries to free the memory of failed vram_alloc() and vram_adopt() calls that the driver refused to free.
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

#ifdef __cplusplus
}
#endif
#endif
