import { randomUUID } from 'node:crypto';
import { WorkerError } from '../../errors.js';
import type { FormerHandle, Proof, Seal, ShardRecord } from '../state/shard.js';
import type { WorkerIdentity } from '../state/signer.js';
import type { Inventory } from '../state/worker_state.js';

/** Signs a handle for a shard whose bytes were proven just now. `prev` is the seal that it takes the place of. */
export function issueSeal(record: ShardRecord, proof: Proof, worker: WorkerIdentity, prev?: Seal): Seal {
  const now = Date.now();
  const times = { sealedAtMs: now, lastVerifiedAtMs: now, lastVerifiedMonotonicMs: performance.now() };
  return sign(record, { ...proof, ...times, former: [] }, worker, prev);
}

/**
 * Gives a sealed shard a new handle, signed with the key that the worker has now: same bytes, same times, a new `jti`,
 * and `prev`, which names the old one. The old handle is superseded, unless `former` lets it stand for a while.
 * @throws WorkerError SHARD_BUSY when the shard is not sealed, AUDIT_UNAVAILABLE; then the old handle stands
 */
export function reseal(
  record: ShardRecord,
  inventory: Pick<Inventory, 'worker' | 'require' | 'changed'>,
  former: readonly FormerHandle[] = [],
): void {
  const { phase } = record;
  if (phase.state !== 'sealed') throw new WorkerError('SHARD_BUSY', `the shard is ${phase.state}`);
  const seal = sign(record, { ...phase.seal, former }, inventory.worker, phase.seal);
  replaceSeal(record, seal, phase.seal, inventory);
}

/** Lets one seal take another's place, on the audit log first. @throws WorkerError AUDIT_UNAVAILABLE */
export function replaceSeal(
  record: ShardRecord,
  seal: Seal,
  prev: Seal,
  inventory: Pick<Inventory, 'require' | 'changed'>,
): void {
  const { jti, digest, treeDigest } = seal;
  const fields = { jti, prev: prev.jti, digest, tree_digest: treeDigest, vram_bytes: record.vramBytes };
  inventory.require('VramSealed', record, fields);
  record.phase = { state: 'sealed', seal };
  inventory.changed();
}

type Sealed = Omit<Seal, 'handle' | 'jti' | 'kid'>;

function sign(record: ShardRecord, sealed: Sealed, worker: WorkerIdentity, prev: Seal | undefined): Seal {
  const { identity, memory, vramBytes } = record;
  const jti = randomUUID();
  const handle = worker.sign({
    jti,
    ...(prev === undefined ? {} : { prev: prev.jti }),
    iat: Math.floor(Date.now() / 1000),
    shard_id: identity.shardId,
    model_ref: identity.modelRef,
    shard_index: identity.shardIndex,
    total_shards: identity.totalShards,
    gpu_device: memory.gpuDevice,
    gpu_uuid: memory.uuid,
    vram_bytes: vramBytes,
    digest: sealed.digest,
    tree_digest: sealed.treeDigest,
    expected: sealed.expected,
    sealed_at: new Date(sealed.sealedAtMs).toISOString(),
  });
  return { ...sealed, handle, jti, kid: worker.key.kid };
}
