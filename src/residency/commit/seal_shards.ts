import type { Actor } from '../../audit/actor.js';
import { issueSeal, recordSeals, reissueHandle, type SealEntry } from '../handle/issue.js';
import { keepShard } from '../keep/keep.js';
import { prepareToKeep } from '../keep/prepare.js';
import type { Proof } from '../state/seal.js';
import { settleAll } from '../state/settle_all.js';
import type { Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';
import { type CommitResult, resultOf } from './request.js';

/** A shard whose bytes are proven. */
export interface ProvenShard {
  readonly shard: Shard;
  readonly proof: Proof;
  /** Called as the seal takes effect. From then on the commit cannot be undone. */
  readonly onSealed: () => void;
}

export interface SealOptions {
  readonly actor: Actor;
  /** Stops the seal until the manifest's record. */
  readonly signal: AbortSignal;
  /** Called directly before the manifest's record. If it throws, nothing is sealed. */
  readonly check?: () => void;
}

/** Shards that are prepared for the keeper at the same time. Each has files and calls of the driver. */
const preparedTogether = 16;

/**
 * Seals shards together: all of them, or none. Records the seals before their effect: in the audit log, then in one record of
 * the manifest. The next process restores what the manifest lists, so nothing after that record may fail the commit.
 * @throws the signal's reason, WorkerError AUDIT_UNAVAILABLE
 */
export async function sealShards(
  worker: WorkerState,
  proven: readonly ProvenShard[],
  { actor, signal, check }: SealOptions,
): Promise<CommitResult[]> {
  const entries = await issueAll(worker, proven);
  const seals = await recordSeals(entries, { worker, actor }, (recorded) => {
    signal.throwIfAborted();
    check?.();
    return recorded;
  });
  const sealed = entries.map(({ shard, seal }, index) => ({ shard, seal: seals[index] ?? seal }));
  for (const { shard, seal } of sealed) shard.markIssued(seal);
  await worker.lostShards.rememberAll(sealed);
  for (const { onSealed } of proven) onSealed();
  for (const { shard, seal } of sealed) {
    shard.grant.consume();
    shard.markSealed(seal);
    worker.lostShards.found(shard.identity.shardId);
  }
  worker.lifecycle.bumpRevision();
  await Promise.all(sealed.map(({ shard, seal }) => completeSeal(worker, shard, seal.kid)));
  return sealed.map(({ shard, seal }) => resultOf(shard, shard.seal?.handle ?? seal.handle, true));
}

async function issueAll(worker: WorkerState, proven: readonly ProvenShard[]): Promise<SealEntry[]> {
  const exportedAtMs: (number | null)[] = [];
  for (let start = 0; start < proven.length; start += preparedTogether) {
    const part = proven.slice(start, start + preparedTogether);
    exportedAtMs.push(...(await settleAll(part.map(({ shard, proof }) => prepareToKeep(worker, shard, proof)))));
  }
  return proven.map(({ shard, proof }, index) => ({
    shard,
    seal: issueSeal(shard, proof, worker.signer, { exportedAtMs: exportedAtMs[index] ?? null }),
  }));
}

/** Never rejects: the shard is sealed. */
async function completeSeal(worker: WorkerState, shard: Shard, kid: string): Promise<void> {
  // If this fails, the handle stays current, and the next pass of the rotation reissues it.
  if (kid !== worker.signer.key.kid) await reissueHandle(shard, worker).catch(() => undefined);
  await keepShard(worker, shard);
}
