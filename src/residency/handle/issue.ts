import { randomUUID } from 'node:crypto';
import { WorkerError } from '../../errors.js';
import type { PreviousHandle, Proof, Seal, Shard } from '../state/shard.js';
import type { Signer } from '../state/signer.js';
import type { WorkerState } from '../state/worker_state.js';

/** Signs a handle for a shard whose bytes were just proven. `replaced` is the seal that this one replaces, if any. */
export function issueSeal(shard: Shard, proof: Proof, signer: Signer, replaced?: Seal): Seal {
  return sign(shard, { ...proof, sealedAtMs: Date.now(), previous: [] }, signer, replaced);
}

/**
 * Gives a sealed shard a handle signed with the current key: same bytes, same times, a new `jti`, and `prev`, which names
 * the old handle. The old handle is superseded, unless `previous` lists it.
 * @throws WorkerError SHARD_BUSY if the shard is not sealed, AUDIT_UNAVAILABLE; then the old handle stays current
 */
export function reissueHandle(shard: Shard, worker: HandleIssuer, previous: readonly PreviousHandle[] = []): void {
  const { phase } = shard;
  if (phase.state !== 'sealed') throw new WorkerError('SHARD_BUSY', `The shard is ${phase.state}`);
  const seal = sign(shard, { ...phase.seal, previous }, worker.signer, phase.seal);
  recordReplacement(shard, seal, phase.seal, worker);
  shard.replaceSeal(seal);
  worker.lifecycle.bumpRevision();
}

/** The parts of the worker that issue handles. */
export type HandleIssuer = Pick<WorkerState, 'signer'> & {
  readonly shardAudit: Pick<WorkerState['shardAudit'], 'appendRequired'>;
  readonly lifecycle: Pick<WorkerState['lifecycle'], 'bumpRevision'>;
};

/** Writes to the audit log that `seal` replaces `replaced`. @throws WorkerError AUDIT_UNAVAILABLE */
export function recordReplacement(
  shard: Shard,
  seal: Seal,
  replaced: Seal,
  { shardAudit }: Pick<HandleIssuer, 'shardAudit'>,
): void {
  const { jti, digest, treeDigest } = seal;
  const fields = { jti, prev: replaced.jti, digest, tree_digest: treeDigest, vram_bytes: shard.vramBytes };
  shardAudit.appendRequired('VramSealed', shard, fields);
}

type Unsigned = Omit<Seal, 'handle' | 'jti' | 'kid'>;

function sign(shard: Shard, unsigned: Unsigned, signer: Signer, replaced: Seal | undefined): Seal {
  const { identity, memory, vramBytes } = shard;
  const jti = randomUUID();
  const handle = signer.sign({
    jti,
    ...(replaced === undefined ? {} : { prev: replaced.jti }),
    iat: Math.floor(Date.now() / 1000),
    shard_id: identity.shardId,
    model_ref: identity.modelRef,
    shard_index: identity.shardIndex,
    total_shards: identity.totalShards,
    gpu_device: memory.gpuDevice,
    gpu_uuid: memory.uuid,
    vram_bytes: vramBytes,
    digest: unsigned.digest,
    tree_digest: unsigned.treeDigest,
    expected: unsigned.expected,
    sealed_at: new Date(unsigned.sealedAtMs).toISOString(),
  });
  return { ...unsigned, handle, jti, kid: signer.key.kid };
}
