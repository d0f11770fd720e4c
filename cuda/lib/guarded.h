/** Converts exceptions to statuses, where they must not pass: at the C ABI and at the start of a thread. */
#pragma once

#include <new>
#include <system_error>

#include "../include/vram.h"

namespace vram {

/** The status of a failed system call, as std::thread and std::mutex throw it. */
inline vram_status status_of(const std::error_code &error) {
  if (error == std::errc::resource_unavailable_try_again) return VRAM_HOST_OUT_OF_THREADS;
  return error == std::errc::not_enough_memory ? VRAM_HOST_OUT_OF_MEMORY : VRAM_INTERNAL;
}

/** Calls call(), which returns a status. */
template <typename Call>
vram_status guarded(Call call) noexcept {
  try {
    return call();
  } catch (const std::bad_alloc &) {
    return VRAM_HOST_OUT_OF_MEMORY;
  } catch (const std::system_error &error) {
    return status_of(error.code());
  } catch (...) {
    return VRAM_INTERNAL;
  }
}

}  // namespace vram
