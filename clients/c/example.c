/**
 * Attaches to a shard, prints what the worker handed over and the shard's first bytes, and detaches.
 *
 *     build/example SOCKET DRIVER SHARD_ID
 *
 * DRIVER is libcuda.so.1, or libcuda_sim.so of a simulated worker. include/vram_attach.h describes every call.
 */
#include <stdio.h>

#include "vram_attach.h"

static int fail(const char *call, vram_attach_status status, const vram_attach_error *error) {
  (void)fprintf(stderr, "example: %s: %s %s %s\n", call, vram_attach_status_name(status), error->code, error->detail);
  return 1;
}

int main(int argc, char **argv) {
  if (argc != 4) return fputs("usage: example SOCKET DRIVER SHARD_ID\n", stderr), 2;
  const vram_attach_options options = {.socket_path = argv[1], .driver_path = argv[2], .client_name = "example/1.0"};
  const vram_attach_request request = {.shard_id = argv[3], .nonce = "example"};
  vram_attach_error error = {0};
  vram_attach_client *client = NULL;
  vram_attach_lease *lease = NULL;

  vram_attach_status status = vram_attach_connect(&options, &client, &error);
  if (status != VRAM_ATTACH_OK) return fail("connect", status, &error);
  status = vram_attach_shard(client, &request, &lease, &error);
  if (status != VRAM_ATTACH_OK) return fail("attach", status, &error);

  vram_attach_worker worker;
  vram_attach_lease_info info;
  (void)vram_attach_get_worker(client, &worker);
  (void)vram_attach_get_lease(lease, &info);
  printf("attached %llu bytes on device %d of worker %s\n", (unsigned long long)info.vram_bytes, (int)info.device,
         worker.worker_id);
  printf("receipt %s\n", info.receipt);
  /* A simulated device's memory is the host's. On a GPU, give info.address to a kernel or to cuMemcpyDtoH(). */
  if (worker.simulated) printf("first byte %d\n", *(const unsigned char *)info.address);

  status = vram_attach_detach(lease, &error);
  vram_attach_close(client);
  return status == VRAM_ATTACH_OK ? 0 : fail("detach", status, &error);
}
