import type { Actor } from '../../audit/actor.js';
import type { AuditFields } from '../../audit/event.js';
import { WorkerError } from '../../errors.js';
import { place } from '../plan/placement.js';
import type { ModelSources } from '../source/model_sources.js';
import { MemoryGrant } from '../state/memory_grant.js';
import type { Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';
import { isExportable, requireSharing, requireSize } from './admission.js';
import { type CommitRequest, matchRetry } from './request.js';
import { conflictOf } from './retry_comparison.js';
import { ShardCommit } from './shard_commit.js';
import { type GroupShard, ShardGroup } from './shard_group.js';

/** Shards to commit together. */
export interface GroupRequest {
  /** The shards of one model, with one reservation or none. Their `gpuDevice` is not set. */
  readonly shards: readonly CommitRequest[];
  readonly reservationId?: string;
  /** The devices that may be used. By default those of the reservation, or all. */
  readonly gpuDevices?: readonly number[];
}

/** Admits groups of shards. */
export class GroupAdmission {
  readonly #worker: WorkerState;

  constructor(worker: WorkerState) {
    this.#worker = worker;
  }

  /** The sources of models. */
  get sources(): ModelSources {
    return this.#worker.sources;
  }

  /** Records the end of a pull in the audit log. */
  recordPull(fields: AuditFields, actor: Actor): void {
    void this.#worker.audit.appendBestEffort('PullEnded', 'info', fields, actor);
  }

  /** See `admitGroup`. */
  admit(request: GroupRequest, actor: Actor): ShardGroup {
    return admitGroup(this.#worker, request, actor);
  }

  /** See `requirePlaces`. */
  requirePlaces(request: Pick<GroupRequest, 'gpuDevices' | 'reservationId'>): void {
    requirePlaces(this.#worker, request);
  }

  /** @throws WorkerError STARTING, DRAINING, AUDIT_UNAVAILABLE */
  requireOpen(): void {
    this.#worker.requireOpenToClients();
  }
}

/**
 * The checks of a group that need no sizes, in their order: 400, 404/410. `admitGroup` repeats them.
 * @throws WorkerError STARTING, INVALID_PARAMS, NOT_FOUND, RESERVATION_EXPIRED
 */
function requirePlaces(
  worker: WorkerState,
  { gpuDevices, reservationId }: Pick<GroupRequest, 'gpuDevices' | 'reservationId'>,
): void {
  worker.lifecycle.requireStarted();
  worker.devicesOf(gpuDevices);
  if (reservationId !== undefined) worker.reservations.require(reservationId);
}

/**
 * Admits a group or refuses it, in the order 400, 404/410, 413, 409, 507, 503. An admitted group holds the memory of all its
 * shards. A shard that is already sealed, with the expected digest, is part of the group as it is. This function does not
 * await, so no other request runs between the decision and its effect.
 * @throws WorkerError with the code of the first refusal
 */
function admitGroup(worker: WorkerState, request: GroupRequest, actor: Actor): ShardGroup {
  requirePlaces(worker, request);
  const { shards } = request;
  for (const shard of shards) requireSharing(worker, shard);
  requireSize(
    shards.reduce((sum, { vramBytes }) => sum + vramBytes, 0),
    worker.options.maxModelBytes,
  );
  const existing = shards.map((shard) => existingShard(worker, shard, request));
  const absent = shards.filter((_, index) => existing[index] === undefined);
  const grants = takeMemory(worker, absent, request);
  const created: GroupShard[] = [];
  try {
    worker.requireOpenToClients();
    for (const [index, shard] of absent.entries()) {
      const grant = grants[index];
      if (grant === undefined) throw new WorkerError('INTERNAL', 'A shard of the group has no memory');
      const exportable = isExportable(worker, shard, grant.memory);
      created.push({ kind: 'new', commit: new ShardCommit(worker, { ...shard, exportable }, grant, actor) });
    }
  } catch (error) {
    for (const grant of grants) grant.release();
    throw error;
  }
  const next = created.values();
  const members = existing.map((shard) => (shard === undefined ? next.next().value : undefined) ?? ofExisting(shard));
  return new ShardGroup(worker, members, actor);
}

/**
 * The same shard, if it is already sealed; undefined if the id is free.
 * @throws WorkerError SHARD_CONFLICT, SHARD_BUSY
 */
function existingShard(
  worker: WorkerState,
  request: CommitRequest,
  { gpuDevices }: Pick<GroupRequest, 'gpuDevices'>,
): Shard | undefined {
  worker.lostShards.requireNotForgotten(request.shardId);
  const shard = worker.shards.get(request.shardId);
  if (shard === undefined) return undefined;
  const exportable = isExportable(worker, request, shard.memory);
  const match = shard.state === 'sealed' ? matchRetry(shard, { ...request, exportable }) : 'conflict';
  const isPlaced = gpuDevices === undefined || gpuDevices.includes(shard.memory.gpuDevice);
  if (match === 'identical' && isPlaced) return shard;
  if (match !== 'undetermined') throw conflictOf(shard);
  const detail = `The shard ${request.shardId} exists, and without an expected digest it may be another one: release it first`;
  throw new WorkerError('SHARD_CONFLICT', detail);
}

function ofExisting(shard: Shard | undefined): GroupShard {
  if (shard === undefined) throw new WorkerError('INTERNAL', 'A shard of the group is missing');
  return { kind: 'existing', shard };
}

/** The memory of all shards, or of none. @throws WorkerError SHARD_CONFLICT, VRAM_OOM */
function takeMemory(worker: WorkerState, shards: readonly CommitRequest[], request: GroupRequest): MemoryGrant[] {
  const take = request.reservationId === undefined ? placed(worker, shards, request) : reserved(worker, request);
  const grants: MemoryGrant[] = [];
  try {
    for (const [index, shard] of shards.entries()) grants.push(take(shard, index));
    return grants;
  } catch (error) {
    for (const grant of grants) grant.release();
    throw error;
  }
}

type Take = (shard: CommitRequest, index: number) => MemoryGrant;

function reserved({ reservations }: WorkerState, { reservationId = '', gpuDevices }: GroupRequest): Take {
  return (shard) => {
    const gpuDevice = reservations.deviceOf(reservationId, shard);
    if (gpuDevices?.includes(gpuDevice) === false) {
      throw new WorkerError('SHARD_CONFLICT', `The reservation holds memory on GPU device ${gpuDevice}`);
    }
    return reservations.take(reservationId, shard, shard.vramBytes);
  };
}

/** @throws WorkerError VRAM_OOM */
function placed(worker: WorkerState, shards: readonly CommitRequest[], { gpuDevices }: GroupRequest): Take {
  worker.reservations.dropExpired();
  const devices = worker.devicesOf(gpuDevices);
  const placement = place(
    shards.map(({ vramBytes }) => vramBytes),
    'files',
    devices,
  );
  if (!placement.fits) {
    const { code, detail, neededBytes, availableBytes } = placement.reason;
    throw new WorkerError(code, detail, { sizes: { neededBytes, availableBytes }, retryAfterMs: 1000 });
  }
  return (shard, index) => {
    const memory = worker.device(placement.shards[index]?.gpuDevice ?? -1);
    return new MemoryGrant(memory, memory.claim(shard.vramBytes));
  };
}
