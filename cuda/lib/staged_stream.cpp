#include "staged_stream.h"

#include <algorithm>
#include <cstring>

namespace vram {

vram_status wait_for(const DriverTable &driver, CUstream stream, bool *out_idle) {
  const CUresult result = driver.cuStreamSynchronize(stream);
  *out_idle = result == CUDA_SUCCESS || driver.cuStreamSynchronize(stream) == CUDA_SUCCESS;
  return from_driver(result);
}

vram_status StagedStream::create(uint64_t buffer_bytes) {
  VRAM_TRY(from_driver(driver_.cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING)));
  return buffer_.create(buffer_bytes);
}

vram_status StagedStream::release() {
  if (stream_ != nullptr) {
    VRAM_TRY(synchronize());
    VRAM_TRY(from_driver(driver_.cuStreamDestroy_v2(stream_)));
    stream_ = nullptr;
  }
  return buffer_.release();
}

vram_status StagedStream::synchronize() {
  if (!pending_) return VRAM_OK;
  bool idle = false;
  const vram_status status = wait_for(driver_, stream_, &idle);
  pending_ = !idle;
  return status;
}

vram_status StagedStream::copy_in(CUdeviceptr destination, const uint8_t *source, uint64_t bytes) {
  for (uint64_t done = 0; done < bytes;) {
    const uint64_t piece = std::min(bytes - done, buffer_.bytes());
    VRAM_TRY(synchronize());
    std::memcpy(buffer_.data(), source + done, piece);
    VRAM_TRY(run([&](CUstream stream) {
      return from_driver(driver_.cuMemcpyHtoDAsync_v2(destination + done, buffer_.data(), piece, stream));
    }));
    done += piece;
  }
  return VRAM_OK;
}

vram_status StagedStream::copy_out(uint8_t *destination, CUdeviceptr source, uint64_t bytes) {
  for (uint64_t done = 0; done < bytes;) {
    const uint64_t piece = std::min(bytes - done, buffer_.bytes());
    VRAM_TRY(run([&](CUstream stream) {
      return from_driver(driver_.cuMemcpyDtoHAsync_v2(buffer_.data(), source + done, piece, stream));
    }));
    std::memcpy(destination + done, buffer_.data(), piece);
    done += piece;
  }
  return VRAM_OK;
}

vram_status StagedStream::fill_with_zeros(CUdeviceptr destination, uint64_t bytes) {
  return run([&](CUstream stream) { return from_driver(driver_.cuMemsetD8Async(destination, 0, bytes, stream)); });
}

}  // namespace vram
