/**
 * The steps that come first in every driver function: count the call, inject a fault if a rule applies, and check that
 * the driver is initialized and that the thread has a usable context.
 */
#pragma once

#include <new>
#include <system_error>

#include "simulator.h"

#define DECLARE(name, parameters) extern "C" __attribute__((visibility("default"))) CUresult name parameters;
VRAM_CUDA_FUNCTIONS(DECLARE)
#undef DECLARE

namespace cuda_sim {

/** The device of the calling thread's current context. Null if there is no current context. */
Device *&current_device();

/** Runs the body of a driver function. Converts exceptions to error codes. */
template <typename Body>
CUresult call_always(const char *function, Body body) noexcept {
  try {
    const CUresult fault = simulator().faults.on_call(function);
    return fault != CUDA_SUCCESS ? fault : body();
  } catch (const std::bad_alloc &) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  } catch (const std::system_error &) {
    return CUDA_ERROR_OPERATING_SYSTEM;  // a stream's thread could not be started
  } catch (...) {
    return CUDA_ERROR_UNKNOWN;
  }
}

/** Runs the body if the driver is initialized. */
template <typename Body>
CUresult call(const char *function, Body body) noexcept {
  return call_always(function, [&] { return simulator().is_initialized() ? body() : CUDA_ERROR_NOT_INITIALIZED; });
}

/** Runs the body with the current device, if its context is retained. */
template <typename Body>
CUresult call_in_any_context(const char *function, Body body) noexcept {
  return call(function, [&] {
    Device *device = current_device();
    const bool usable = device != nullptr && device->context.is_retained();
    return usable ? body(*device) : CUDA_ERROR_INVALID_CONTEXT;
  });
}

/** Does the same, if the context also has no sticky error. */
template <typename Body>
CUresult call_in_context(const char *function, Body body) noexcept {
  return call_in_any_context(function, [&](Device &device) {
    const CUresult sticky = device.context.sticky_error();
    return sticky != CUDA_SUCCESS ? sticky : body(device);
  });
}

/** Finds a stream of a device. A null handle means the default stream. Returns null if the handle is invalid. */
std::shared_ptr<Stream> find_stream(CUstream handle, Device &device);

template <typename Object>
uintptr_t handle_value(Object *handle) {
  return reinterpret_cast<uintptr_t>(handle);
}

}  // namespace cuda_sim
