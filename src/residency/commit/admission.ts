import type { Actor } from '../../audit/actor.js';
import type { AuditEvent, AuditFields } from '../../audit/event.js';
import { type ErrorCode, WorkerError } from '../../errors.js';
import type { Load, LoadResult } from '../../vram/load.js';
import type { CommitSlot } from '../state/commit_queue.js';
import type { DeviceMemory, MemoryClaim } from '../state/device_memory.js';
import { Shard } from '../state/shard.js';
import type { ResidencyObserver } from '../state/signer.js';
import type { WorkerState } from '../state/worker_state.js';
import { Ingest, type IngestTarget } from './ingest.js';
import { type CommitRequest, type CommitResult, matchRetry, type RetryMatch } from './request.js';
import { openShard, sealShard } from './seal.js';

/** What became of a commit that was not refused. */
export type Admission =
  /** The shard is here, the same: its handle stands, and the body is not needed. */
  | { readonly kind: 'standing'; readonly result: CommitResult }
  /** The body is needed: for a new shard, or to be compared with the one that is here. */
  | { readonly kind: 'intake'; readonly intake: Ingest };

interface Taken {
  readonly memory: DeviceMemory;
  readonly claim: MemoryClaim;
  readonly giveBack: () => void;
}

/**
 * Decides a commit at once: refuses in the order 400, 404/410, 413, 409, 507, 429, 503, or takes the memory and a place
 * in the queue. Nothing awaits in here, so no other request can come between a decision and what it takes.
 */
export function admit(
  inventory: WorkerState,
  request: CommitRequest,
  observer: () => ResidencyObserver,
  actor: Actor,
  turns = inventory.commitQueue,
): Admission {
  inventory.requireStarted();
  const standing = inventory.shards.get(request.shardId);
  const like: RetryMatch = standing?.state === 'sealed' ? matchRetry(standing, request) : 'other';
  if (request.gpuDevice !== undefined) inventory.device(request.gpuDevice);
  if (request.reservationId !== undefined && like === 'other') inventory.reservations.require(request.reservationId);
  if (request.vramBytes > inventory.options.maxModelBytes) {
    throw new WorkerError('MODEL_TOO_LARGE', `a shard may have up to ${inventory.options.maxModelBytes} bytes`);
  }
  if (standing !== undefined) {
    if (like === 'same') return { kind: 'standing', result: resultOf(standing, false) };
    if (like === 'unknown')
      return begin(inventory, inventory.commitQueue.acquire(), compare(inventory, standing, request));
    throw refusalOf(standing);
  }

  const taken = takeMemory(inventory, request);
  try {
    const turn = turns.acquire();
    try {
      inventory.requireOpen();
    } catch (error) {
      turn.cancel(error);
      turn.release();
      throw error;
    }
    return begin(inventory, turn, receive(inventory, request, taken, observer, actor));
  } catch (error) {
    taken.giveBack();
    throw error;
  }
}

function begin(inventory: WorkerState, turn: CommitSlot, purpose: IngestTarget): Admission {
  const intake: Ingest = new Ingest(turn, inventory.driver.staging, {
    ...purpose,
    ended: (error) => {
      inventory.ingests.delete(intake);
      purpose.ended(error);
    },
  });
  inventory.ingests.add(intake);
  return { kind: 'intake', intake };
}

function refusalOf(record: Shard): WorkerError {
  if (record.state === 'sealed') return new WorkerError('SHARD_CONFLICT', 'another shard has this shard_id');
  if (record.state === 'corrupt') return new WorkerError('SHARD_CONFLICT', 'the shard is corrupt: release it first');
  return new WorkerError('SHARD_BUSY', `the shard is ${record.state}`, { retryAfterMs: 1000 });
}

function takeMemory(inventory: WorkerState, request: CommitRequest): Taken {
  const { reservationId, gpuDevice, vramBytes } = request;
  if (reservationId === undefined) {
    inventory.reservations.sweep();
    const memory = inventory.placeOne(gpuDevice);
    const claim = memory.claim(vramBytes);
    return { memory, claim, giveBack: () => claim.release() };
  }
  const reserved = inventory.reservations.deviceOf(reservationId, request);
  if (gpuDevice !== undefined && gpuDevice !== reserved) {
    throw new WorkerError('SHARD_CONFLICT', `the reservation holds this shard's memory on device ${reserved}`);
  }
  const { claim, giveBack } = inventory.reservations.take(reservationId, request, vramBytes);
  return { memory: inventory.device(reserved), claim, giveBack };
}

/** Refusals that say something of the memory, or of the driver, and not of the client. */
const violations = new Map<ErrorCode, AuditEvent>([
  ['POLICY_VIOLATION', 'PolicyViolation'],
  ['SEAL_VERIFICATION_FAILED', 'SealVerificationFailed'],
]);

const expectedOf = ({ expectedDigest, expectedTreeDigest }: CommitRequest): AuditFields => ({
  expected_digest: expectedDigest ?? null,
  expected_tree_digest: expectedTreeDigest ?? null,
});

/** A new shard: present from now on, `receiving`. */
function receive(
  inventory: WorkerState,
  request: CommitRequest,
  taken: Taken,
  observer: () => ResidencyObserver,
  actor: Actor,
): IngestTarget {
  const started = performance.now();
  const { memory, claim, giveBack } = taken;
  const { vramBytes } = request;
  const returnMemory = () => {
    claim.release();
    if (!sealed) giveBack();
  };
  const record = new Shard(request, vramBytes, memory, returnMemory, request.source);
  let allocated = false;
  let sealed = false;
  let undone = false;
  inventory.shards.add(record);
  inventory.bumpRevision();
  return {
    totalBytes: vramBytes,
    async open(): Promise<Load> {
      inventory.appendRequired('VramAllocated', record, expectedOf(request), actor);
      allocated = true;
      const load = await openShard(record, request, inventory.driver);
      claim.markAllocated();
      return load;
    },
    progress(receivedBytes: number): void {
      record.receivedBytes = receivedBytes;
    },
    async complete(received: LoadResult, signal: AbortSignal): Promise<CommitResult> {
      record.phase = { state: 'sealing' };
      inventory.bumpRevision();
      const seal = await sealShard(record, request, received, inventory.signer, signal);
      const { jti, digest, treeDigest } = seal;
      inventory.appendRequired('VramSealed', record, { jti, digest, tree_digest: treeDigest }, actor);
      inventory.lostShards.remember(record, seal);
      sealed = true;
      claim.trim();
      record.phase = { state: 'sealed', seal };
      inventory.bumpRevision();
      return resultOf(record, true);
    },
    async undo(error: unknown): Promise<void> {
      undone = true;
      claim.markReleasing();
      if (allocated) inventory.appendBestEffort('VramDeallocated', 'info', record, { reason: outcomeOf(error) }, actor);
      // A driver that can not free leaves the shard `releasing`, where it is seen and can be released again.
      await inventory.discard(record).catch(() => undefined);
    },
    ended(error: unknown): void {
      if (undone) inventory.reportDriverError(error);
      const event = error instanceof WorkerError ? violations.get(error.code) : undefined;
      if (event !== undefined) inventory.appendBestEffort(event, 'critical', record, { detail: String(error) }, actor);
      observer().committed(outcomeOf(error), vramBytes, (performance.now() - started) / 1000);
    },
  };
}

/** A retry whose bytes must be read to know whether they are the same: digested on the host, put nowhere. */
function compare(inventory: WorkerState, standing: Shard, request: CommitRequest): IngestTarget {
  // Where the seal has no flat digest, one that the client expects can only be held against what comes now.
  const flat = request.expectedDigest !== undefined && standing.seal?.digest === null;
  return {
    totalBytes: request.vramBytes,
    open: () => inventory.driver.hostLoad(request.vramBytes, { flat, tree: true }),
    progress: () => undefined,
    complete: async (received) => {
      const same = received.tree === standing.seal?.treeDigest && (!flat || received.flat === request.expectedDigest);
      if (standing.state !== 'sealed' || inventory.shards.get(request.shardId) !== standing || !same) {
        throw refusalOf(standing);
      }
      return resultOf(standing, false);
    },
    undo: async () => undefined,
    ended: () => undefined,
  };
}

function resultOf(record: Shard, created: boolean): CommitResult {
  if (record.seal === undefined) throw new WorkerError('INTERNAL', 'only a sealed shard has a handle');
  return { created, handle: record.seal.handle, shard: record.snapshot() };
}

/** How an operation ended, as metrics name it. */
export const outcomeOf = (error: unknown) =>
  error === undefined ? 'ok' : error instanceof WorkerError ? error.code : 'INTERNAL';
