/** Ends the process at a deadline, even if its main thread is blocked. */
#pragma once

#include <cstdint>

namespace vram {

/** Calls _exit(2) after a time. The earliest deadline of all calls holds, with the latest status. @throws std::system_error */
void exit_after(uint64_t milliseconds, int32_t status);

/**
 * Does the same from the first delivery of a signal on, then runs the handler that the signal has now. A repeated call
 * replaces time and status. Returns false if the signal cannot have a handler. @throws std::system_error
 */
bool exit_after_signal(int32_t signal, uint64_t milliseconds, int32_t status);

}  // namespace vram
