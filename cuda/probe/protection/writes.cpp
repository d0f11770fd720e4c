#include "writes.h"

namespace probe {

const std::vector<Write> &writes() {
  static const std::vector<Write> all = {
      {"kernel-store", [](const Child &c, CUdeviceptr a) { return c.launch("probe_store", a, 0x5a5a5a5a); }},
      {"kernel-atomic", [](const Child &c, CUdeviceptr a) { return c.launch("probe_atomic", a, 0xffffffff); }},
      {"cuMemcpyHtoD", [](const Child &c, CUdeviceptr a) { return c.driver.cuMemcpyHtoD_v2(a, c.pinned, 4096); }},
      {"cuMemcpyHtoD-1MiB",
       [](const Child &c, CUdeviceptr a) { return c.driver.cuMemcpyHtoD_v2(a, c.pinned, 1 << 20); }},
      {"cuMemcpyHtoD-pageable",
       [](const Child &c, CUdeviceptr a) {
         const std::vector<unsigned char> bytes(4096, kAfter);
         return c.driver.cuMemcpyHtoD_v2(a, bytes.data(), bytes.size());
       }},
      {"cuMemcpyHtoDAsync",
       [](const Child &c, CUdeviceptr a) { return c.driver.cuMemcpyHtoDAsync_v2(a, c.pinned, 1 << 20, c.stream); }},
      {"cuMemcpyDtoD", [](const Child &c, CUdeviceptr a) { return c.driver.cuMemcpyDtoD_v2(a, c.other, 4096); }},
      {"cuMemcpyDtoDAsync",
       [](const Child &c, CUdeviceptr a) { return c.driver.cuMemcpyDtoDAsync_v2(a, c.other, 1 << 20, c.stream); }},
      {"cuMemcpy", [](const Child &c, CUdeviceptr a) { return c.driver.cuMemcpy(a, c.other, 4096); }},
      {"cuMemsetD8", [](const Child &c, CUdeviceptr a) { return c.driver.cuMemsetD8_v2(a, kAfter, 4096); }},
      {"cuMemsetD32", [](const Child &c, CUdeviceptr a) { return c.driver.cuMemsetD32_v2(a, 0x5a5a5a5a, 1024); }},
      {"cuMemsetD8Async",
       [](const Child &c, CUdeviceptr a) { return c.driver.cuMemsetD8Async(a, kAfter, 1 << 20, c.stream); }},
      {"cuStreamWriteValue32",
       [](const Child &c, CUdeviceptr a) { return c.driver.cuStreamWriteValue32_v2(c.stream, a, 0x5a5a5a5a, 0); }},
  };
  return all;
}

}  // namespace probe
