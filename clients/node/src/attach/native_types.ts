import type Koffi from 'koffi';
import type { LibraryHandle } from 'koffi';

/** A pointer, or a 64-bit value that is not a safe integer. */
export type Address = bigint;
/** koffi gives a number if it is a safe integer, otherwise a bigint. */
export type Integer = number | bigint;

export interface NativeError {
  code: string;
  detail: string;
  driver_result: number;
  retriable: number;
  retry_after_ms: Integer;
}

export interface NativeWorker {
  worker_id: string;
  boot_id: string;
  driver: string;
  simulated: number;
  connected: number;
}

export interface NativeLease {
  address: Integer;
  vram_bytes: Integer;
  mapped_bytes: Integer;
  device: number;
  state: number;
  lease_id: string;
  allocation_id: string;
  handle: string;
  receipt: string;
}

export interface NativeEvent {
  type: number;
  lease: Address | null;
  shard_id: string;
  deadline_ms: Integer;
}

export type FunctionName =
  | 'vram_attach_version'
  | 'vram_attach_connect'
  | 'vram_attach_close'
  | 'vram_attach_get_worker'
  | 'vram_attach_shard'
  | 'vram_attach_get_lease'
  | 'vram_attach_get_path'
  | 'vram_attach_read'
  | 'vram_attach_detach'
  | 'vram_attach_event_descriptor'
  | 'vram_attach_next_event';

type TypeSpec = Parameters<LibraryHandle['func']>[2];

/** The type of the result, and those of the parameters. */
type Prototype = readonly [TypeSpec, readonly TypeSpec[]];

/** The functions of `vram_attach.h`, in koffi's notation. The structures have the header's names and layouts. */
export function declare(koffi: typeof Koffi): Readonly<Record<FunctionName, Prototype>> {
  const { struct, array, pointer, out } = koffi;
  const text = 'const char *';
  const object = 'void *';
  const error = struct({
    code: array('char', 64, 'String'),
    detail: array('char', 448, 'String'),
    driver_result: 'int32_t',
    retriable: 'uint32_t',
    retry_after_ms: 'uint64_t',
  });
  const options = struct({
    socket_path: text,
    driver_path: text,
    client_name: text,
    token: text,
    timeout_ms: 'uint32_t',
    reserved: 'uint32_t',
  });
  const worker = struct({
    worker_id: text,
    boot_id: text,
    driver: text,
    simulated: 'uint32_t',
    connected: 'uint32_t',
  });
  const request = struct({
    shard_id: text,
    model_ref: text,
    shard_index: 'uint32_t',
    reserved: 'uint32_t',
    gpu_uuid: text,
    expected_tree_digest: text,
    max_age_seconds: 'uint64_t',
    nonce: text,
    label: text,
  });
  const lease = struct({
    address: 'uint64_t',
    vram_bytes: 'uint64_t',
    mapped_bytes: 'uint64_t',
    device: 'int32_t',
    state: 'uint32_t',
    lease_id: text,
    allocation_id: text,
    handle: text,
    receipt: text,
  });
  const event = struct({
    type: 'uint32_t',
    reserved: 'uint32_t',
    lease: object,
    shard_id: text,
    deadline_ms: 'uint64_t',
  });
  const failure = out(pointer(error));
  return {
    vram_attach_version: ['uint32_t', []],
    vram_attach_connect: ['int32_t', [pointer(options), out(pointer(object)), failure]],
    vram_attach_close: ['void', [object]],
    vram_attach_get_worker: ['int32_t', [object, out(pointer(worker))]],
    vram_attach_shard: ['int32_t', [object, pointer(request), out(pointer(object)), failure]],
    vram_attach_get_lease: ['int32_t', [object, out(pointer(lease))]],
    vram_attach_get_path: ['int32_t', [object, out(pointer(text)), failure]],
    vram_attach_read: ['int32_t', [object, 'uint64_t', object, 'uint64_t', failure]],
    vram_attach_detach: ['int32_t', [object, failure]],
    vram_attach_event_descriptor: ['int32_t', [object]],
    vram_attach_next_event: ['int32_t', [object, out(pointer(event))]],
  };
}
