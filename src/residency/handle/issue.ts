import { randomUUID } from 'node:crypto';
import { WorkerError } from '../../errors.js';
import type { PreviousHandle, Proof, Seal, Shard } from '../state/shard.js';
import type { Signer } from '../state/signer.js';
import type { WorkerState } from '../state/worker_state.js';

/** Signs a handle for a shard whose bytes were proven just now. `prev` is the seal that it takes the place of. */
export function issueSeal(record: Shard, proof: Proof, signer: Signer, prev?: Seal): Seal {
  const now = Date.now();
  const times = { sealedAtMs: now, lastVerifiedAtMs: now, lastVerifiedMonotonicMs: performance.now() };
  return sign(record, { ...proof, ...times, previous: [] }, signer, prev);
}

/**
 * Gives a sealed shard a new handle, signed with the key that the worker has now: same bytes, same times, a new `jti`,
 * and `prev`, which names the old one. The old handle is superseded, unless `former` lets it stand for a while.
 * @throws WorkerError SHARD_BUSY when the shard is not sealed, AUDIT_UNAVAILABLE; then the old handle stands
 */
export function reissueHandle(
  record: Shard,
  inventory: Pick<WorkerState, 'signer' | 'appendRequired' | 'bumpRevision'>,
  former: readonly PreviousHandle[] = [],
): void {
  const { phase } = record;
  if (phase.state !== 'sealed') throw new WorkerError('SHARD_BUSY', `the shard is ${phase.state}`);
  const seal = sign(record, { ...phase.seal, previous: former }, inventory.signer, phase.seal);
  replaceSeal(record, seal, phase.seal, inventory);
}

/** Lets one seal take another's place, on the audit log first. @throws WorkerError AUDIT_UNAVAILABLE */
export function replaceSeal(
  record: Shard,
  seal: Seal,
  prev: Seal,
  inventory: Pick<WorkerState, 'appendRequired' | 'bumpRevision'>,
): void {
  const { jti, digest, treeDigest } = seal;
  const fields = { jti, prev: prev.jti, digest, tree_digest: treeDigest, vram_bytes: record.vramBytes };
  inventory.appendRequired('VramSealed', record, fields);
  record.phase = { state: 'sealed', seal };
  inventory.bumpRevision();
}

type Sealed = Omit<Seal, 'handle' | 'jti' | 'kid'>;

function sign(record: Shard, sealed: Sealed, signer: Signer, prev: Seal | undefined): Seal {
  const { identity, memory, vramBytes } = record;
  const jti = randomUUID();
  const handle = signer.sign({
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
  return { ...sealed, handle, jti, kid: signer.key.kid };
}
