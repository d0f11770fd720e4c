/**
 * Threads for calls of the file system. Such a call may never return, if a network or FUSE file system hangs, and it
 * cannot be interrupted. It then costs one of a bounded number of threads, and no caller waits for it.
 */
#pragma once

#include <cstdint>
#include <functional>

#include "../include/vram.h"

namespace vram {

/** Whether a job can be refused. */
enum class Admission { kBounded, kAlways };

/**
 * Runs `job`, which must not throw, on one of the threads. The threads end with the process.
 * VRAM_FILE_BUSY if too many jobs wait, or if a stuck call occupies every thread. Throws std::bad_alloc, and
 * std::system_error if the first thread cannot be started.
 */
vram_status run_on_file_thread(std::function<void()> job, Admission admission = Admission::kBounded);

/**
 * For a job that makes several calls of the file system, between two of them. The time of the job starts again. False if
 * other jobs wait for a thread: the job must end soon.
 */
bool continue_file_job();

/** Whether the caller is one of the threads. Their descriptors mean nothing to other threads. */
bool on_file_thread();

/** When the longest running job started, in nanoseconds of the monotonic clock; 0 if none is running. */
uint64_t oldest_file_call();

}  // namespace vram
