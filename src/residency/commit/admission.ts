import type { Actor } from '../../audit/actor.js';
import { WorkerError } from '../../errors.js';
import { placeOne } from '../plan/placement.js';
import type { CommitQueue, CommitSlot } from '../state/commit_queue.js';
import type { DeviceMemory } from '../state/device_memory.js';
import { MemoryGrant } from '../state/memory_grant.js';
import type { WorkerState } from '../state/worker_state.js';
import { Ingest, type IngestTarget } from './ingest.js';
import { type CommitRequest, type CommitResult, matchRetry, resultOf } from './request.js';
import { conflictOf, RetryComparison } from './retry_comparison.js';
import { ShardCommit } from './shard_commit.js';

/** The outcome of an admitted commit. */
export type Admission =
  /** The same shard is already sealed. Its handle is current, and the body is not needed. */
  | { readonly kind: 'existing'; readonly result: CommitResult }
  /** The body is needed, for a new shard or to compare it with the existing one. */
  | { readonly kind: 'ingest'; readonly ingest: Ingest };

/**
 * Admits a commit or refuses it, in the order 400, 404/410, 413, 409, 507, 429, 503. An admitted commit holds its memory
 * and a place in the queue. This function does not await, so no other request runs between the decision and its effect.
 * @throws WorkerError with the code of the first refusal
 */
export function admit(
  worker: WorkerState,
  request: CommitRequest,
  actor: Actor,
  queue: CommitQueue = worker.commitQueue,
): Admission {
  worker.lifecycle.requireStarted();
  const existing = worker.shards.get(request.shardId);
  requireSharing(worker, request);
  const retry = existing && { ...request, exportable: isExportable(worker, request, existing.memory) };
  const match = existing?.state === 'sealed' && retry ? matchRetry(existing, retry) : 'conflict';
  if (request.gpuDevice !== undefined) worker.device(request.gpuDevice);
  if (request.reservationId !== undefined && match === 'conflict') worker.reservations.require(request.reservationId);
  requireSize(request.vramBytes, worker.options.maxModelBytes);
  worker.lostShards.requireNotForgotten(request.shardId);
  if (existing === undefined) return admitNew(worker, request, actor, queue);
  const { seal } = existing;
  if (seal === undefined || match === 'conflict') throw conflictOf(existing);
  if (match === 'identical') return { kind: 'existing', result: resultOf(existing, seal.handle, false) };
  return ingest(worker, worker.commitQueue.acquire(), new RetryComparison(worker, request, existing, seal));
}

function admitNew(worker: WorkerState, request: CommitRequest, actor: Actor, queue: CommitQueue): Admission {
  const grant = takeMemory(worker, request);
  let slot: CommitSlot | undefined;
  try {
    slot = queue.acquire();
    if (queue === worker.commitQueue) worker.requireOpenToClients();
    else worker.lifecycle.requireOpen();
    const exportable = isExportable(worker, request, grant.memory);
    if (exportable && grant.memory.exportError !== null) throw notExportable(grant.memory);
    return ingest(worker, slot, new ShardCommit(worker, { ...request, exportable }, grant, actor));
  } catch (error) {
    slot?.cancel(error);
    slot?.release();
    grant.release();
    throw error;
  }
}

/** @throws WorkerError INVALID_PARAMS if the client wants to share memory and the worker has no socket for that */
export function requireSharing({ options }: WorkerState, { exportable }: CommitRequest): void {
  if (exportable !== true || options.attach) return;
  throw new WorkerError(
    'INVALID_PARAMS',
    'exportable is true, but this worker does not share memory: set WORKER_ATTACH_SOCKET',
  );
}

/** Whether other processes can attach the shard: as the commit asks, else if the worker and the device can share memory. */
export const isExportable = ({ options }: WorkerState, { exportable }: CommitRequest, memory: DeviceMemory): boolean =>
  exportable ?? (options.attach && memory.exportError === null);

const notExportable = ({ gpuDevice, exportError }: DeviceMemory): WorkerError =>
  new WorkerError('NOT_EXPORTABLE', `GPU device ${gpuDevice} cannot share memory: ${exportError}`);

/** @throws WorkerError MODEL_TOO_LARGE */
export function requireSize(vramBytes: number, maxBytes: number): void {
  if (vramBytes <= maxBytes) return;
  throw new WorkerError(
    'MODEL_TOO_LARGE',
    `The shard is larger than the limit of ${maxBytes} bytes (WORKER_MAX_MODEL_BYTES)`,
  );
}

function ingest(worker: WorkerState, slot: CommitSlot, target: IngestTarget): Admission {
  const ingest: Ingest = new Ingest(slot, worker.driver.staging, target, () => worker.ingests.delete(ingest));
  worker.ingests.add(ingest);
  return { kind: 'ingest', ingest };
}

function takeMemory(worker: WorkerState, request: CommitRequest): MemoryGrant {
  const { reservationId, gpuDevice, vramBytes } = request;
  if (reservationId === undefined) {
    worker.reservations.dropExpired();
    const memory = gpuDevice === undefined ? placeOne([...worker.devices.values()]) : worker.device(gpuDevice);
    return new MemoryGrant(memory, memory.claim(vramBytes));
  }
  const reserved = worker.reservations.deviceOf(reservationId, request);
  if (gpuDevice !== undefined && gpuDevice !== reserved) {
    throw new WorkerError('SHARD_CONFLICT', `The reservation holds the memory of this shard on GPU device ${reserved}`);
  }
  return worker.reservations.take(reservationId, request, vramBytes);
}
