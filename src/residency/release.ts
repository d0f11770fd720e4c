import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { Actor } from '../audit/actor.js';
import { WorkerError } from '../errors.js';
import { FileCalls } from '../storage/file_calls.js';
import { discard } from './discard.js';
import { confirmKept, dropKept, isKept, keepShard } from './keep/keep.js';
import { dismissHolders, requireUnleased } from './lease/dismiss.js';
import { drainingError, startingError } from './state/lifecycle.js';
import type { Shard } from './state/shard.js';
import type { WorkerState } from './state/worker_state.js';

/** Shards whose release is recorded in one turn of the event loop. */
const chunkShards = 128;

/** How long a shutdown waits in total for the entries about its releases. A hung disk must not keep the memory unwiped. */
const entriesMs = 1000;

/** How long a shutdown waits for a file system to take back the locks. */
const locksSeconds = 1;

/** What happens if other processes have the memory. By default the release is refused. */
export interface ForcedRelease {
  /** How long the processes have to detach, before their connections are closed. */
  readonly graceSeconds: number;
}

/** `deferred`: the memory is wiped and freed when the last process that has it has ended. */
export type ReleaseOutcome = 'freed' | 'deferred';

/**
 * Wipes and frees a shard. A verification in progress ends first. A shard without memory that the manifest lists is forgotten
 * instead. @throws WorkerError NOT_FOUND, SHARD_BUSY, SHARD_LEASED, STARTING, DRAINING, AUDIT_UNAVAILABLE, KEEPER_UNAVAILABLE,
 * CUDA_ERROR
 */
export async function release(
  worker: WorkerState,
  shardId: string,
  actor: Actor,
  forced?: ForcedRelease,
): Promise<ReleaseOutcome> {
  worker.lifecycle.requireStarted();
  if (worker.shards.get(shardId) === undefined) {
    await forgetAbsent(worker, shardId, actor);
    return 'freed';
  }
  const shard = worker.shards.require(shardId);
  const { phase } = shard;
  const isStuck = phase.state === 'releasing' && phase.attempt === null;
  if (forced !== undefined && phase.state === 'releasing' && !isStuck && worker.leases.count(shard) > 0) {
    // An earlier forced release waits for the processes: this one can shorten their time.
    dismissHolders(worker, shard, forced.graceSeconds);
    return 'deferred';
  }
  if ((shard.seal === undefined && !isStuck) || shard.releaseRequested) {
    throw new WorkerError('SHARD_BUSY', `The shard is ${shard.releaseRequested ? 'releasing' : shard.state}`, {
      retryAfterMs: 1000,
    });
  }
  if (forced === undefined) requireUnleased(worker, shard);
  worker.requireAudit();
  const isLeased = worker.leases.count(shard) > 0;
  const discarded = await beginRelease(worker, shard, isLeased, actor);
  if (!isLeased) {
    await discarded.freed;
    return 'freed';
  }
  // The driver's error is logged, and the worker tries again.
  discarded.freed.catch(() => undefined);
  dismissHolders(worker, shard, forced?.graceSeconds ?? 0);
  return 'deferred';
}

/**
 * Takes the memory back from the keeper and the shard off the manifest, writes the entry about its release, and begins to free
 * it. No lease can begin in between.
 * `freed` settles when the memory is free.
 */
async function beginRelease(
  worker: WorkerState,
  shard: Shard,
  isLeased: boolean,
  actor: Actor,
): Promise<{ readonly freed: Promise<void> }> {
  const { lostShards, shardAudit, leases } = worker;
  const event = isLeased ? 'ReleaseForced' : 'VramDeallocated';
  const fields = isLeased ? { leases: leases.count(shard) } : { reason: 'released' };
  shard.releaseRequested = true;
  try {
    await dropKept(worker, shard);
    await lostShards.forget(shard.identity.shardId, {
      record: () => shardAudit.appendRequired(event, shard, fields, actor),
      aborted: () => shardAudit.effectAborted(event, shard, fields, actor),
    });
    if (isLeased) shard.unrecordedReason = 'released';
    return { freed: discard(worker, shard) };
  } catch (error) {
    // The shard stays, so the next process needs its memory.
    void keepShard(worker, shard);
    throw error;
  } finally {
    shard.releaseRequested = false;
  }
}

/** The shard is lost, or waits for the next attempt to restore it, or does not exist. */
async function forgetAbsent(worker: WorkerState, shardId: string, actor: Actor): Promise<void> {
  const { lostShards, audit, lifecycle, shards } = worker;
  // A restart has not taken the shard yet, or a shutdown has wiped it: the next process would restore it.
  if (lostShards.isClaiming) throw startingError();
  if (lifecycle.isEnding) throw drainingError();
  const entry = lostShards.byId.get(shardId) ?? lostShards.manifest?.get(shardId);
  if (entry === undefined) return void shards.require(shardId);
  const { modelRef } = entry;
  const fields = { shard_id: shardId, model_ref: modelRef };
  await lostShards.forget(shardId, {
    record: () => audit.appendRequired('ShardForgotten', 'info', fields, actor),
    aborted: () =>
      void audit.appendBestEffort('EffectAborted', 'warning', { ...fields, aborted: 'ShardForgotten' }, actor),
  });
  lifecycle.bumpRevision();
}

/**
 * Wipes and frees every shard, and closes the driver. Shards whose commit is still in progress follow when
 * `commitsEnded` resolves: a commit can take long to end, and the others must not wait for it.
 * @throws VramError if some memory could not be wiped
 */
export async function releaseAll(worker: WorkerState, commitsEnded: Promise<void>): Promise<void> {
  await Promise.all([releaseSealed(worker), commitsEnded]);
  await releaseSealed(worker);
  try {
    await worker.driver.close();
  } finally {
    await closeFiles(worker);
  }
}

/**
 * Wipes and frees every shard that no commit holds, but leaves the memory that the keeper or other processes have. A shard that
 * the driver refuses to free stays `releasing`.
 */
export async function releaseSealed(worker: WorkerState): Promise<void> {
  await confirmKept(worker);
  const shards = worker.shards.all().filter(({ state }) => state !== 'receiving' && state !== 'sealing');
  const entriesLate = sleep(entriesMs, undefined, { ref: false });
  const discarded: Promise<unknown>[] = [];
  for (let start = 0; start < shards.length; start += chunkShards) {
    const chunk = shards.slice(start, start + chunkShards);
    await Promise.race([Promise.all(chunk.map((shard) => recordStopped(worker, shard))), entriesLate]);
    discarded.push(...chunk.map((shard) => discard(worker, shard).catch(() => undefined)));
    await nextTurn();
  }
  await Promise.all(discarded);
}

/** Written once. The entry for a shard in `releasing` was written when its release began. */
async function recordStopped(worker: WorkerState, shard: Shard): Promise<void> {
  const { shardAudit, leases, keeper } = worker;
  if (shard.state === 'releasing' || shard.releaseRequested) return;
  shard.releaseRequested = true;
  if (leases.count(shard) > 0 || isKept(keeper, shard)) {
    shard.unrecordedReason = 'stopped';
    return;
  }
  await shardAudit.appendBestEffort(
    { event: 'VramDeallocated', severity: 'info', fields: { reason: 'stopped' } },
    shard,
  );
}

/** Writes the last entries of this process, and closes the audit log and the manifest. Ends by a deadline. */
export async function closeFiles(worker: WorkerState): Promise<void> {
  const { authFailures, audit, signer, lostShards, keeper } = worker;
  keeper?.close();
  authFailures.flush();
  await lostShards.manifest?.close();
  void audit.appendBestEffort('WorkerStopped', 'info', { boot_id: signer.bootId });
  await audit.close();
  await releaseLocks(worker);
}

/** Lets another process use the files. Ends by a deadline, and never rejects: the kernel drops the locks at the exit. */
export async function releaseLocks({ auditLock, lostShards }: WorkerState): Promise<void> {
  const release = async () => {
    await auditLock?.release();
    await lostShards.lock?.release();
  };
  await new FileCalls(locksSeconds).run('the locks', release).catch(() => undefined);
}
