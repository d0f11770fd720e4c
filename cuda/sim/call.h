/**
 * What every driver function does before its own work: it is counted, fails where it is told to, and demands that the
 * driver is initialised, or that the thread has a context which is well.
 */
#pragma once

#include <new>

#include "simulator.h"

#define DECLARE(name, parameters) extern "C" __attribute__((visibility("default"))) CUresult name parameters;
VRAM_CUDA_FUNCTIONS(DECLARE)
#undef DECLARE

namespace cuda_sim {

/** The device whose context the calling thread has made current; null for none. */
Device *&current_device();

/** Runs a function's body, and lets no exception out. */
template <typename Body>
CUresult call_always(const char *function, Body body) noexcept {
  try {
    const CUresult fault = simulator().faults.on_call(function);
    return fault != CUDA_SUCCESS ? fault : body();
  } catch (const std::bad_alloc &) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  } catch (...) {
    return CUDA_ERROR_UNKNOWN;
  }
}

/** … once the driver is initialised. */
template <typename Body>
CUresult call(const char *function, Body body) noexcept {
  return call_always(function, [&] { return simulator().is_initialised() ? body() : CUDA_ERROR_NOT_INITIALIZED; });
}

/** … with the thread's device, whose context is well. */
template <typename Body>
CUresult call_in_context(const char *function, Body body) noexcept {
  return call(function, [&] {
    Device *device = current_device();
    if (device == nullptr || !device->context.is_retained()) return CUDA_ERROR_INVALID_CONTEXT;
    const CUresult sticky = device->context.sticky_error();
    return sticky != CUDA_SUCCESS ? sticky : body(*device);
  });
}

/** The stream that a handle names in a device's context, null for its default stream; null where it names none. */
std::shared_ptr<Stream> find_stream(CUstream handle, Device &device);

template <typename Object>
uintptr_t number_of(Object *handle) {
  return reinterpret_cast<uintptr_t>(handle);
}

}  // namespace cuda_sim
