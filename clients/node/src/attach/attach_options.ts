export interface ConnectOptions {
  /** Path of the worker's socket. Default: `/run/vram-residency/attach.sock`. */
  readonly socketPath?: string;
  /** Library with the CUDA driver API. Default: `libcuda.so.1`. For a simulated worker: its `libcuda_sim.so`. */
  readonly driverPath?: string;
  /** Path of libvram_attach. Default: `libvram_attach.so.1`, as the system finds it. */
  readonly libraryPath?: string;
  /** Name and version of the program, for the worker's log. */
  readonly clientName?: string;
  /** Secret that the worker may require. */
  readonly token?: string;
  /** Longest wait for an answer, in milliseconds. Default: 30000. */
  readonly timeoutMs?: number;
}

/** A shard, and what must be true of it. */
export interface AttachRequest {
  /** Name of the shard. Otherwise `modelRef` and `shardIndex` name it. */
  readonly shardId?: string;
  readonly modelRef?: string;
  readonly shardIndex?: number;
  /** Device that the shard must be on, `GPU-…` as `nvidia-smi -L` prints it. */
  readonly gpuUuid?: string;
  readonly expectedTreeDigest?: string;
  /** The worker verifies the shard first, if its last verification is older. */
  readonly maxAgeSeconds?: number;
  /** Text that the receipt repeats. */
  readonly nonce?: string;
  /** Text for the worker's log. */
  readonly label?: string;
}

/** The options for the C library. */
export function nativeOptions(options: ConnectOptions) {
  return {
    socket_path: options.socketPath ?? null,
    driver_path: options.driverPath ?? null,
    client_name: options.clientName ?? null,
    token: options.token ?? null,
    timeout_ms: options.timeoutMs ?? 0,
    reserved: 0,
  };
}

/** The request for the C library. */
export function nativeRequest(request: AttachRequest) {
  return {
    shard_id: request.shardId ?? null,
    model_ref: request.modelRef ?? null,
    shard_index: request.shardIndex ?? 0,
    reserved: 0,
    gpu_uuid: request.gpuUuid ?? null,
    expected_tree_digest: request.expectedTreeDigest ?? null,
    max_age_seconds: request.maxAgeSeconds ?? 0,
    nonce: request.nonce ?? null,
    label: request.label ?? null,
  };
}
