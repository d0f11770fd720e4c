/** Driver API functions for streams, events, copies, memsets and launches. */
#include <cstring>
#include <vector>

#include "call.h"
#include "fast_kernels.h"

using namespace cuda_sim;

namespace cuda_sim {

std::shared_ptr<Stream> find_stream(CUstream handle, Device &device) {
  if (handle == nullptr) return device.context.default_stream(device);
  std::shared_ptr<Stream> stream = simulator().streams.find(handle_value(handle));
  return stream != nullptr && &stream->device() == &device ? stream : nullptr;
}

}  // namespace cuda_sim

namespace {

/** The largest pageable source that a copy stages during the call, as CUDA's driver does. */
constexpr size_t kMaxStagedBytes = 64 * 1024;

/** False if the range contains device addresses: a host copy could raise a signal there. */
bool is_host_range(const void *address, size_t bytes) {
  return address != nullptr &&
         !simulator().address_space().overlaps_reservation(reinterpret_cast<uint64_t>(address), bytes);
}

/** The driver refuses a copy or a memset of memory that the device cannot access, and the context stays usable. */
bool is_writable(const Device &device, CUdeviceptr address, size_t bytes) {
  return simulator().address_space().can_access(device.ordinal, address, bytes, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
}
bool is_readable(const Device &device, CUdeviceptr address, size_t bytes) {
  return simulator().address_space().can_access(device.ordinal, address, bytes, CU_MEM_ACCESS_FLAGS_PROT_READ);
}

using Ticket = PendingAccesses::Ticket;

/** Null if another stream uses the same memory, and the host has not waited for it. */
Ticket access(const Stream &stream, CUdeviceptr address, size_t bytes, bool writes) {
  return simulator().pending_accesses.add(stream, {{address, bytes, writes}});
}

CUresult copy_in(Device &device, CUdeviceptr destination, const void *source, size_t bytes) {
  const auto pin =
      simulator().address_space().pin(device.ordinal, destination, bytes, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  if (!pin) return CUDA_ERROR_ILLEGAL_ADDRESS;
  const auto *next = static_cast<const uint8_t *>(source);
  for (const Span &span : pin->spans(destination, bytes)) {
    std::memcpy(span.data, next, span.bytes);
    next += span.bytes;
  }
  return CUDA_SUCCESS;
}

CUresult copy_out(Device &device, void *destination, CUdeviceptr source, size_t bytes) {
  const auto pin = simulator().address_space().pin(device.ordinal, source, bytes, CU_MEM_ACCESS_FLAGS_PROT_READ);
  if (!pin) return CUDA_ERROR_ILLEGAL_ADDRESS;
  auto *next = static_cast<uint8_t *>(destination);
  for (const Span &span : pin->spans(source, bytes)) {
    std::memcpy(next, span.data, span.bytes);
    next += span.bytes;
  }
  return CUDA_SUCCESS;
}

/** The start of a range, as a device address and in the linear view of the device. */
struct Translation {
  uint64_t device_address;
  uint64_t view_address;
};

/** Replaces the device addresses among the arguments. */
Arguments translate(const std::vector<Translation> &translations, Arguments arguments) {
  for (uint64_t &value : arguments.values) {
    for (const Translation &translation : translations) {
      if (value != translation.device_address) continue;
      value = translation.view_address;
      break;
    }
  }
  return arguments;
}

/** Makes the results of a launch wrong, if the settings say so. */
void spoof_output(const Range *ranges, size_t count, const std::vector<AddressSpace::Pin> &pins) {
  const int bits = simulator().spoofs.report(Spoof::kKernelOutput, 0);
  if (bits == 0) return;
  size_t pin = 0;
  for (size_t i = 0; i < count; ++i) {
    if (ranges[i].bytes == 0) continue;
    if (ranges[i].writes) *pins[pin].spans(ranges[i].address, 1).front().data ^= static_cast<uint8_t>(bits);
    ++pin;
  }
}

std::vector<Access> accesses_of(const Kernel &kernel, const Arguments &arguments, unsigned grid_x) {
  Range ranges[kMaxRanges];
  const size_t count = kernel.ranges(arguments, grid_x, ranges);
  std::vector<Access> accesses;
  for (size_t i = 0; i < count; ++i) accesses.push_back({ranges[i].address, ranges[i].bytes, ranges[i].writes});
  return accesses;
}

CUresult run_kernel(Device &device, const Kernel &kernel, const Arguments &arguments, Dimensions grid) {
  Range ranges[kMaxRanges];
  const size_t count = kernel.ranges(arguments, grid.x, ranges);
  std::vector<AddressSpace::Pin> pins;
  std::vector<Translation> translations;
  for (size_t i = 0; i < count; ++i) {
    const Range &range = ranges[i];
    if (range.bytes == 0) continue;
    if (range.address % range.alignment_bytes != 0) return CUDA_ERROR_MISALIGNED_ADDRESS;
    auto pin = simulator().address_space().pin(
        device.ordinal, range.address, range.bytes,
        range.writes ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE : CU_MEM_ACCESS_FLAGS_PROT_READ);
    if (!pin) return CUDA_ERROR_ILLEGAL_ADDRESS;
    const std::vector<Span> spans = pin->spans(range.address, range.bytes);
    // A range of several spans is contiguous only at its device address.
    if (spans.size() == 1) translations.push_back({range.address, reinterpret_cast<uint64_t>(spans.front().data)});
    pins.push_back(std::move(*pin));
  }
  const FastKernel fast = simulator().engine() == Engine::kFast ? find_fast_kernel(kernel.name) : nullptr;
  if (fast != nullptr) {
    fast(translate(translations, arguments), grid.x);
  } else if (!kernel.run(arguments, grid)) {
    return CUDA_ERROR_LAUNCH_FAILED;
  }
  spoof_output(ranges, count, pins);
  return CUDA_SUCCESS;
}

/** Waits for an operation of a stream. Returns the sticky error of its context. */
CUresult wait_for(Stream &stream, uint64_t number) {
  stream.wait(number);
  return stream.device().context.sticky_error();
}

}  // namespace

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr destination, const void *source, size_t bytes, CUstream handle) {
  return call_in_context("cuMemcpyHtoDAsync_v2", [&](Device &device) {
    const std::shared_ptr<Stream> stream = find_stream(handle, device);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (bytes == 0) return CUDA_SUCCESS;
    if (!is_writable(device, destination, bytes) || !is_host_range(source, bytes)) return CUDA_ERROR_INVALID_VALUE;
    Ticket ticket = access(*stream, destination, bytes, true);
    if (ticket == nullptr) return CUDA_ERROR_INVALID_VALUE;

    if (const auto pinned = simulator().host_memory.find(source, bytes)) {
      stream->submit([=, &device, ticket = std::move(ticket)] {
        (void)pinned;  // keeps the buffer alive if the caller frees it first
        return copy_in(device, destination, source, bytes);
      });
      return CUDA_SUCCESS;
    }
    if (bytes <= kMaxStagedBytes) {
      const auto *first = static_cast<const unsigned char *>(source);
      const std::vector<unsigned char> copy(first, first + bytes);
      stream->submit([=, &device, ticket = std::move(ticket)] {
        return copy_in(device, destination, copy.data(), bytes);
      });
      return CUDA_SUCCESS;
    }
    return wait_for(*stream, stream->submit([=, &device, ticket = std::move(ticket)] {
      return copy_in(device, destination, source, bytes);
    }));
  });
}

CUresult cuMemcpyDtoHAsync_v2(void *destination, CUdeviceptr source, size_t bytes, CUstream handle) {
  return call_in_context("cuMemcpyDtoHAsync_v2", [&](Device &device) {
    const std::shared_ptr<Stream> stream = find_stream(handle, device);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (bytes == 0) return CUDA_SUCCESS;
    if (!is_readable(device, source, bytes) || !is_host_range(destination, bytes)) return CUDA_ERROR_INVALID_VALUE;

    Ticket ticket = access(*stream, source, bytes, false);
    if (ticket == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto pinned = simulator().host_memory.find(destination, bytes);
    const uint64_t number = stream->submit([=, &device, ticket = std::move(ticket)] {
      (void)pinned;  // keeps the buffer alive if the caller frees it first
      return copy_out(device, destination, source, bytes);
    });
    return pinned != nullptr ? CUDA_SUCCESS : wait_for(*stream, number);
  });
}

CUresult cuMemsetD8Async(CUdeviceptr destination, unsigned char value, size_t bytes, CUstream handle) {
  return call_in_context("cuMemsetD8Async", [&](Device &device) {
    const std::shared_ptr<Stream> stream = find_stream(handle, device);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (bytes == 0) return CUDA_SUCCESS;
    if (!is_writable(device, destination, bytes)) return CUDA_ERROR_INVALID_VALUE;
    Ticket ticket = access(*stream, destination, bytes, true);
    if (ticket == nullptr) return CUDA_ERROR_INVALID_VALUE;
    stream->submit([=, &device, ticket = std::move(ticket)] {
      const auto pin =
          simulator().address_space().pin(device.ordinal, destination, bytes, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
      if (!pin) return CUDA_ERROR_ILLEGAL_ADDRESS;
      for (const Span &span : pin->spans(destination, bytes)) std::memset(span.data, value, span.bytes);
      return CUDA_SUCCESS;
    });
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
  return call_in_context("cuStreamCreate", [&](Device &device) {
    if (stream == nullptr || (flags & ~CU_STREAM_NON_BLOCKING) != 0) return CUDA_ERROR_INVALID_VALUE;
    *stream = reinterpret_cast<CUstream>(simulator().streams.add(std::make_shared<Stream>(device)));
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamDestroy_v2(CUstream stream) {
  return call_in_context("cuStreamDestroy_v2", [&](Device &) {
    const std::shared_ptr<Stream> found = simulator().streams.remove(handle_value(stream));
    if (found == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    found->close();
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamSynchronize(CUstream stream) {
  return call_in_context("cuStreamSynchronize", [&](Device &device) {
    const std::shared_ptr<Stream> found = find_stream(stream, device);
    if (found == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    found->wait_for_all();
    return device.context.sticky_error();
  });
}

CUresult cuEventCreate(CUevent *event, unsigned flags) {
  return call_in_context("cuEventCreate", [&](Device &device) {
    constexpr unsigned kKnownFlags = CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING;
    if (event == nullptr || (flags & ~kKnownFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
    const bool blocking = (flags & CU_EVENT_BLOCKING_SYNC) != 0;
    *event = reinterpret_cast<CUevent>(simulator().events.add(std::make_shared<Event>(device, blocking)));
    return CUDA_SUCCESS;
  });
}

CUresult cuEventDestroy_v2(CUevent event) {
  return call_in_context("cuEventDestroy_v2", [&](Device &) {
    return simulator().events.remove(handle_value(event)) != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  });
}

CUresult cuEventRecord(CUevent event, CUstream stream) {
  return call_in_context("cuEventRecord", [&](Device &device) {
    const std::shared_ptr<Event> found = simulator().events.find(handle_value(event));
    const std::shared_ptr<Stream> queue = find_stream(stream, device);
    if (found == nullptr || queue == nullptr || &found->device() != &device) return CUDA_ERROR_INVALID_HANDLE;
    Event::record(found, *queue);
    return CUDA_SUCCESS;
  });
}

CUresult cuEventSynchronize(CUevent event) {
  return call_in_context("cuEventSynchronize", [&](Device &) {
    const std::shared_ptr<Event> found = simulator().events.find(handle_value(event));
    if (found == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    found->wait();
    return found->device().context.sticky_error();
  });
}

CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream handle, void **parameters,
                        void **extra) {
  return call_in_context("cuLaunchKernel", [&](Device &device) {
    const std::shared_ptr<LoadedKernel> loaded = simulator().kernels.find(handle_value(function));
    const std::shared_ptr<Stream> stream = find_stream(handle, device);
    if (loaded == nullptr || &loaded->module->device != &device || stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;

    const Kernel &kernel = *loaded->kernel;
    if (grid_x == 0 || grid_y != 1 || grid_z != 1 || grid_x > INT32_MAX) return CUDA_ERROR_INVALID_VALUE;
    if (block_x != kernel.block_threads || block_y != 1 || block_z != 1) return CUDA_ERROR_INVALID_VALUE;
    if (parameters == nullptr || extra != nullptr || shared_bytes != 0) return CUDA_ERROR_INVALID_VALUE;

    Arguments arguments = {};
    for (size_t i = 0; i < kernel.parameter_count; ++i) {
      if (parameters[i] == nullptr) return CUDA_ERROR_INVALID_VALUE;
      std::memcpy(&arguments.values[i], parameters[i], kernel.parameter_bytes[i]);
    }
    Ticket ticket = simulator().pending_accesses.add(*stream, accesses_of(kernel, arguments, grid_x));
    if (ticket == nullptr) return CUDA_ERROR_INVALID_VALUE;
    stream->submit([=, &device, ticket = std::move(ticket)] {
      return run_kernel(device, *loaded->kernel, arguments, {grid_x, 1, 1});
    });
    return CUDA_SUCCESS;
  });
}
