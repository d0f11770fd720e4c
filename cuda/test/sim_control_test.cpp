/** The simulator's controls: faults, spoofs, call counts and invalid settings. */
#include <atomic>
#include <thread>
#include <vector>

#include "sim_driver.h"

using test::kSimGranule;
using test::sim_properties;
using test::SimDriver;
using test::SimMemory;

TEST("sim: the Nth call fails once or permanently, and a failed call has no effect") {
  const SimDriver driver{{"DEVICES", "64MiB"}};
  driver.start();
  const CUmemAllocationProp prop = sim_properties(0);
  std::vector<CUmemGenericAllocationHandle> handles;
  const auto create = [&] {
    CUmemGenericAllocationHandle handle = 0;
    const CUresult result = driver.cuMemCreate(&handle, kSimGranule, &prop, 0);
    if (result == CUDA_SUCCESS) handles.push_back(handle);
    return result;
  };

  REQUIRE(driver.set("FAULTS", "cuMemCreate:3=2") == 0);
  CHECK_CU(CUDA_SUCCESS, create());
  CHECK_CU(CUDA_SUCCESS, create());
  CHECK_CU(CUDA_ERROR_OUT_OF_MEMORY, create());
  CHECK_CU(CUDA_SUCCESS, create());
  CHECK(driver.live("cuMemCreate") == 3);

  REQUIRE(driver.set("FAULTS", "cuMemCreate:2+=999,cuMemRelease:1=1") == 0);
  CHECK_CU(CUDA_SUCCESS, create());
  CHECK_CU(CUDA_ERROR_UNKNOWN, create());
  CHECK_CU(CUDA_ERROR_UNKNOWN, create());
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.cuMemRelease(handles[0]));
  CHECK(driver.live("cuMemCreate") == 4);
  CHECK(driver.calls("cuMemCreate") == 7);

  REQUIRE(driver.set("FAULTS", "*:2+=719") == 0);
  int count = 0;
  CHECK_CU(CUDA_SUCCESS, driver.cuDeviceGetCount(&count));
  CHECK_CU(CUDA_ERROR_LAUNCH_FAILED, driver.cuDeviceGetCount(&count));
  CHECK_CU(CUDA_ERROR_LAUNCH_FAILED, create());

  driver.reset();
  CHECK(driver.calls("*") == 0);
  for (const CUmemGenericAllocationHandle handle : handles) CHECK_CU(CUDA_SUCCESS, driver.cuMemRelease(handle));
  CHECK(driver.calls("*") == handles.size());
  CHECK(driver.live("*") == 0);
}

TEST("sim: the rules of the environment can start after a call") {
  const SimDriver driver{
      {"DEVICES", "8MiB"}, {"FAULTS", "cuDeviceGetCount:1=2"}, {"FAULTS_AFTER", "cuDriverGetVersion:2"}};
  driver.start();
  int value = 0;
  CHECK_CU(CUDA_SUCCESS, driver.cuDeviceGetCount(&value));
  CHECK_CU(CUDA_SUCCESS, driver.cuDriverGetVersion(&value));
  CHECK_CU(CUDA_SUCCESS, driver.cuDriverGetVersion(&value));
  CHECK_CU(CUDA_ERROR_OUT_OF_MEMORY, driver.cuDeviceGetCount(&value));
  CHECK_CU(CUDA_SUCCESS, driver.cuDeviceGetCount(&value));
}

TEST("sim: a hanging call returns only when the rules change; other calls continue") {
  const SimDriver driver{{"DEVICES", "8MiB"}};
  driver.start();
  for (const char *next : {"", "cuDeviceGetName:1=2"}) {
    REQUIRE(driver.set("FAULTS", "cuDeviceGetCount:2=hang") == 0);
    int count = 0;
    CHECK_CU(CUDA_SUCCESS, driver.cuDeviceGetCount(&count));
    std::atomic<bool> returned{false};
    CUresult result = CUDA_SUCCESS;
    const uint64_t calls = driver.calls("cuDeviceGetCount");
    std::thread hanging([&] {
      int ignored = 0;
      result = driver.cuDeviceGetCount(&ignored);
      returned = true;
    });
    while (driver.calls("cuDeviceGetCount") == calls) std::this_thread::yield();
    CHECK_CU(CUDA_SUCCESS, driver.cuDeviceGetCount(&count));
    CHECK(!returned);
    REQUIRE(driver.set("FAULTS", "cuDeviceGetCount:1=sleep") != 0);
    CHECK(!returned);
    REQUIRE(driver.set("FAULTS", next) == 0);
    hanging.join();
    CHECK_CU(CUDA_ERROR_UNKNOWN, result);
  }
}

TEST("sim: every attribute can be spoofed, and none is by default") {
  const SimDriver driver{{"DEVICES", "8MiB,8MiB"}};
  driver.start();
  const SimMemory memory(driver, 0, kSimGranule);

  struct Answers {
    unsigned memory_type = 0;
    void *host_pointer = nullptr;
    unsigned is_managed = 0;
    int ordinal = -1;
    CUmemAllocationProp prop = {};
    unsigned long long own = 0, foreign = 0;
    int vmm = 0;
  };
  const auto ask = [&] {
    Answers answers;
    CUpointer_attribute attributes[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_HOST_POINTER,
                                        CU_POINTER_ATTRIBUTE_IS_MANAGED, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL};
    void *values[] = {&answers.memory_type, &answers.host_pointer, &answers.is_managed, &answers.ordinal};
    REQUIRE_CU(driver.cuPointerGetAttributes(4, attributes, values, memory.address() + 9));
    CUmemGenericAllocationHandle handle = 0;
    REQUIRE_CU(driver.cuMemRetainAllocationHandle(&handle, reinterpret_cast<void *>(memory.address())));
    REQUIRE_CU(driver.cuMemGetAllocationPropertiesFromHandle(&answers.prop, handle));
    REQUIRE_CU(driver.cuMemRelease(handle));
    const CUmemLocation locations[] = {{CU_MEM_LOCATION_TYPE_DEVICE, 0}, {CU_MEM_LOCATION_TYPE_DEVICE, 1}};
    REQUIRE_CU(driver.cuMemGetAccess(&answers.own, &locations[0], memory.address()));
    REQUIRE_CU(driver.cuMemGetAccess(&answers.foreign, &locations[1], memory.address()));
    REQUIRE_CU(driver.cuDeviceGetAttribute(&answers.vmm, CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED, 0));
    return answers;
  };

  Answers truth = ask();
  CHECK(truth.memory_type == CU_MEMORYTYPE_DEVICE && truth.host_pointer == nullptr && truth.is_managed == 0);
  CHECK(truth.ordinal == 0 && truth.prop.location.type == CU_MEM_LOCATION_TYPE_DEVICE && truth.prop.location.id == 0);
  CHECK(truth.own == CU_MEM_ACCESS_FLAGS_PROT_READWRITE && truth.foreign == CU_MEM_ACCESS_FLAGS_PROT_NONE &&
        truth.vmm == 1);

  REQUIRE(driver.set("SPOOFS",
                     "memory_type=1,is_managed=1,ordinal=1,host_pointer=1,location_type=2,location_id=1,access=1,"
                     "foreign_access=3,vmm=0") == 0);
  Answers spoofed = ask();
  CHECK(spoofed.memory_type == CU_MEMORYTYPE_HOST && spoofed.host_pointer != nullptr && spoofed.is_managed == 1);
  CHECK(spoofed.ordinal == 1 && spoofed.prop.location.type == 2 && spoofed.prop.location.id == 1);
  CHECK(spoofed.own == CU_MEM_ACCESS_FLAGS_PROT_READ && spoofed.foreign == CU_MEM_ACCESS_FLAGS_PROT_READWRITE &&
        spoofed.vmm == 0);

  REQUIRE(driver.set("SPOOFS", "") == 0);
  CHECK(ask().memory_type == CU_MEMORYTYPE_DEVICE);
}

TEST("sim: an unmapped address has no attributes, and pinned memory is host memory") {
  const SimDriver driver{{"DEVICES", "8MiB"}};
  driver.start();
  void *pinned = nullptr;
  REQUIRE_CU(driver.cuMemHostAlloc(&pinned, 100, CU_MEMHOSTALLOC_PORTABLE));
  unsigned memory_type = 7;
  CUpointer_attribute attribute = CU_POINTER_ATTRIBUTE_MEMORY_TYPE;
  void *value = &memory_type;
  CHECK_CU(CUDA_SUCCESS, driver.cuPointerGetAttributes(1, &attribute, &value, 0x1000));
  CHECK(memory_type == 0);
  CHECK_CU(CUDA_SUCCESS,
           driver.cuPointerGetAttributes(1, &attribute, &value, reinterpret_cast<CUdeviceptr>(pinned) + 99));
  CHECK(memory_type == CU_MEMORYTYPE_HOST);
  CHECK_CU(CUDA_SUCCESS, driver.cuMemFreeHost(pinned));
}

TEST("sim: invalid settings are refused and change nothing") {
  const SimDriver driver{{"DEVICES", "8MiB"}};
  REQUIRE_CU(driver.init());
  REQUIRE(driver.set("FAULTS", "cuDeviceGetCount:1+=801") == 0);
  for (const char *bad : {"cuMemCreate", "cuMemCreate:0=1", "cuMemCreate:1=0", "cuMemCreate:1=x", "cuNothing:1=1",
                          "cuMemCreate:+=1", "cuMemCreate:1=1,", "cuMemCreate=1:1", "cuMemCreate:-1=1"}) {
    CHECK(driver.set("FAULTS", bad) == 1);
  }
  for (const char *bad : {"memory_type", "memory_type=", "colour=1", "memory_type=-1"}) {
    CHECK(driver.set("SPOOFS", bad) == 1);
  }
  CHECK(driver.set("LATENCY_US", "1ms") == 1);
  CHECK(driver.set("DEVICES", "8MiB") == 1);
  CHECK(driver.set(nullptr, nullptr) == 1);
  int count = 0;
  CHECK_CU(CUDA_ERROR_NOT_SUPPORTED, driver.cuDeviceGetCount(&count));
}

TEST("sim: an invalid environment fails cuInit, and a valid one applies from then on") {
  for (const char *devices : {"24", "0", "8MiB,", "8 MiB", "8TiB", "-8MiB", "99999999999GiB"}) {
    CHECK_CU(CUDA_ERROR_INVALID_VALUE, SimDriver{{"DEVICES", devices}}.init());
  }
  for (const char *visible : {"2", "0,0", "0,", "x", "-1"}) {
    const SimDriver driver{{"DEVICES", "8MiB,8MiB"}, {"VISIBLE_DEVICES", visible}};
    CHECK_CU(CUDA_ERROR_INVALID_VALUE, driver.init());
  }
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, SimDriver{{"ENGINE", "quick"}}.init());
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, SimDriver{{"SPOOFS", "x"}}.init());
  CHECK_CU(CUDA_ERROR_INVALID_VALUE, SimDriver{{"DIR", "/nonexistent/directory"}}.init());

  const SimDriver driver{{"DEVICES", "8MiB"}, {"FAULTS", "cuDeviceGetCount:2=100"}, {"LATENCY_US", "1"}};
  REQUIRE_CU(driver.init());
  int count = 0;
  CHECK_CU(CUDA_SUCCESS, driver.cuDeviceGetCount(&count));
  CHECK_CU(CUDA_ERROR_NO_DEVICE, driver.cuDeviceGetCount(&count));
}
