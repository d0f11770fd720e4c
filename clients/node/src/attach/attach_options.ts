import { AttachError } from './attach_error.js';

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

/** The options for the C library. @throws AttachError with status INVALID_ARGUMENT */
export function nativeOptions(options: ConnectOptions) {
  return {
    socket_path: text('socketPath', options.socketPath),
    driver_path: text('driverPath', options.driverPath),
    client_name: text('clientName', options.clientName),
    token: text('token', options.token),
    timeout_ms: count('timeoutMs', options.timeoutMs),
    reserved: 0,
  };
}

/** The request for the C library. @throws AttachError with status INVALID_ARGUMENT */
export function nativeRequest(request: AttachRequest) {
  return {
    shard_id: text('shardId', request.shardId),
    model_ref: text('modelRef', request.modelRef),
    shard_index: count('shardIndex', request.shardIndex),
    reserved: 0,
    gpu_uuid: text('gpuUuid', request.gpuUuid),
    expected_tree_digest: text('expectedTreeDigest', request.expectedTreeDigest),
    max_age_seconds: count('maxAgeSeconds', request.maxAgeSeconds),
    nonce: text('nonce', request.nonce),
    label: text('label', request.label),
  };
}

/** The C library would read the text up to a zero. */
function text(name: string, value: string | undefined): string | null {
  if (value?.includes('\0')) throw new AttachError('INVALID_ARGUMENT', { detail: `${name} contains a zero` });
  return value ?? null;
}

const maxUint32 = 0xffff_ffff;

/** C would convert other numbers silently. */
function count(name: string, value = 0): number {
  if (Number.isInteger(value) && value >= 0 && value <= maxUint32) return value;
  throw new AttachError('INVALID_ARGUMENT', { detail: `${name} is not an integer from 0 to ${maxUint32}` });
}
