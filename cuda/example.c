/**
 * The C ABI end to end: loads 3 MiB into GPU memory, seals them, and proves that the device holds the same bytes.
 *
 *     build/example build/libcuda_sim.so build/vram_kernels.sim
 *
 * include/vram.h describes every call. After an error the program exits without vram_close(), so nothing is wiped.
 */
#include <stdio.h>
#include <string.h>

#include "include/vram.h"

enum { SLOTS = 3, BYTES = SLOTS * VRAM_STAGING_SLOT_BYTES, GROUPS = BYTES / VRAM_GROUP_BYTES };

#define TRY(call)                                                                  \
  do {                                                                             \
    const vram_status status = (call);                                             \
    if (status != VRAM_OK) {                                                       \
      (void)fprintf(stderr, "example: %s: %s\n", #call, vram_status_name(status)); \
      return 1;                                                                    \
    }                                                                              \
  } while (0)

int main(int argc, char **argv) {
  if (argc != 3) return fputs("usage: example DRIVER KERNELS\n", stderr), 2;
  const vram_options options = {.driver_path = argv[1],
                                .kernels_path = argv[2],
                                .max_allocation_bytes = BYTES,
                                .part_bytes = VRAM_GROUP_BYTES,
                                .staging_slots = SLOTS};
  uint64_t driver = 0, allocation = 0, load = 0;
  TRY(vram_open(&options, &driver));
  TRY(vram_open_device(driver, 0));
  TRY(vram_alloc(driver, 0, BYTES, 0, &allocation));

  /* Load: the host digests the bytes while they are copied to the device. */
  void *staging = NULL;
  uint32_t slot_count = 0;
  vram_load_result received;
  TRY(vram_staging(driver, &staging, &slot_count));
  memset(staging, 'w', BYTES);
  TRY(vram_load_open(allocation, VRAM_LOAD_TREE, &load));
  for (uint32_t slot = 0; slot < slot_count; ++slot) TRY(vram_load_push(load, slot, VRAM_STAGING_SLOT_BYTES));
  TRY(vram_load_finish(load, &received));
  TRY(vram_load_close(load));

  /* Seal: from here on the device can only read the memory. Attest: the driver confirms where it is. */
  vram_residency residency;
  TRY(vram_seal(allocation));
  TRY(vram_attest(allocation, &residency));

  /* Digest: the device hashes its own memory, and the host folds the group hashes. */
  uint8_t hashes[GROUPS * VRAM_DIGEST_BYTES], resident[VRAM_DIGEST_BYTES];
  TRY(vram_digest(allocation, 0, BYTES, hashes, sizeof(hashes)));
  TRY(vram_tree_digest(hashes, GROUPS, BYTES, resident));
  const int equal = memcmp(resident, received.tree, sizeof(resident)) == 0;
  puts(equal ? "verified: the device holds the bytes that were loaded" : "mismatch: the device holds other bytes");

  TRY(vram_free(allocation));
  TRY(vram_close(driver));
  return equal ? 0 : 1;
}
