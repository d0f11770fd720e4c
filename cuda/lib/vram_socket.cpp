/** The C functions that pass descriptors over a socket, and need no driver. */
#include <algorithm>

#include "descriptors.h"
#include "guarded.h"

using namespace vram;

vram_status vram_send(int32_t socket, const void *frame, uint64_t bytes, const int32_t *descriptors,
                      uint32_t descriptor_count, uint64_t *out_sent) {
  if (frame == nullptr || out_sent == nullptr) return VRAM_NULL_ARGUMENT;
  if (descriptors == nullptr && descriptor_count != 0) return VRAM_NULL_ARGUMENT;
  if (bytes == 0) return VRAM_ZERO_LENGTH;
  if (descriptor_count > VRAM_MAX_DESCRIPTORS) return VRAM_OUT_OF_BOUNDS;
  return guarded([&] {
    const std::vector<int> numbers(descriptors, descriptors + descriptor_count);
    return send_with_descriptors(socket, frame, bytes, numbers, out_sent);
  });
}

vram_status vram_receive(int32_t socket, void *buffer, uint64_t bytes, int32_t *descriptors, uint32_t capacity,
                         vram_received *out_received) {
  if (buffer == nullptr || out_received == nullptr) return VRAM_NULL_ARGUMENT;
  if (descriptors == nullptr && capacity != 0) return VRAM_NULL_ARGUMENT;
  if (bytes == 0) return VRAM_ZERO_LENGTH;
  if (capacity > VRAM_MAX_DESCRIPTORS) return VRAM_OUT_OF_BOUNDS;
  return guarded([&]() -> vram_status {
    Descriptors received;
    VRAM_TRY(receive_with_descriptors(socket, buffer, {bytes, capacity}, received, out_received));
    const std::vector<int> numbers = received.take();
    std::copy(numbers.begin(), numbers.end(), descriptors);
    return VRAM_OK;
  });
}
