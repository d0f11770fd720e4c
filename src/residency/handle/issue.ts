import { randomUUID } from 'node:crypto';
import type { Actor } from '../../audit/actor.js';
import { WorkerError } from '../../errors.js';
import type { PreviousHandle, Proof, Seal } from '../state/seal.js';
import { settleAll } from '../state/settle_all.js';
import type { Shard } from '../state/shard.js';
import type { Signer } from '../state/signer.js';
import type { WorkerState } from '../state/worker_state.js';

/** A handle that a new one replaces. A handle of an earlier process can be one. */
export type ReplacedHandle = Pick<Seal, 'jti'>;

/**
 * Signs a handle for a shard whose bytes were just proven. `exportedAtMs` is when the memory was first handed over, and `replaced`
 * the handle that this one replaces, if any.
 */
export function issueSeal(
  shard: Shard,
  proof: Proof,
  signer: Signer,
  { exportedAtMs = null, replaced }: { readonly exportedAtMs?: number | null; readonly replaced?: ReplacedHandle } = {},
): Seal {
  return sign(shard, { ...proof, sealedAtMs: Date.now(), exportedAtMs, previous: [] }, signer, replaced);
}

/** The differences between a reissued handle and the one before. */
export interface Reissue {
  /** The earlier handles that stay valid. By default none does. */
  readonly previous?: readonly PreviousHandle[];
  /** When the memory is first handed over. By default as before. */
  readonly exportedAtMs?: number;
}

/**
 * Gives a sealed shard a handle signed with the current key: same bytes, same times, a new `jti`, and `prev`, which names
 * the old handle. The old handle is superseded, unless `previous` lists it.
 * @throws WorkerError SHARD_BUSY if the shard is no longer sealed, AUDIT_UNAVAILABLE; then the old handle stays current
 */
export async function reissueHandle(
  shard: Shard,
  worker: HandleIssuer,
  { previous = [], exportedAtMs }: Reissue = {},
): Promise<void> {
  const { phase } = shard;
  if (phase.state !== 'sealed') throw new WorkerError('SHARD_BUSY', `The shard is ${phase.state}`);
  const replaced = phase.seal;
  const unsigned = exportedAtMs === undefined ? replaced : { ...replaced, exportedAtMs };
  const signed = sign(shard, unsigned, worker.signer, replaced);
  await recordSeal(shard, signed, { worker, replaced }, (seal) => {
    if (shard.state !== 'sealed' || shard.seal?.jti !== replaced.jti || shard.releaseRequested) {
      worker.shardAudit.effectAborted('VramSealed', shard, { jti: seal.jti });
      throw new WorkerError('SHARD_BUSY', `The shard is ${shard.state}`);
    }
    shard.replaceHandle({ ...seal, previous });
    worker.lifecycle.bumpRevision();
  });
}

/** The parts of the worker that issue handles. */
export type HandleIssuer = Pick<WorkerState, 'signer'> & {
  readonly shardAudit: Pick<WorkerState['shardAudit'], 'appendRequired' | 'effectAborted'>;
  readonly lifecycle: Pick<WorkerState['lifecycle'], 'bumpRevision'>;
};

interface SealRecord {
  readonly worker: Pick<HandleIssuer, 'signer' | 'shardAudit'>;
  readonly replaced?: ReplacedHandle;
  readonly actor?: Actor;
}

/**
 * Writes to the audit log that a seal takes effect, then calls `takeEffect` in the same turn of the event loop in which it
 * finds that the seal key is still current. If the key has rotated, the seal is signed and recorded again.
 * @throws WorkerError AUDIT_UNAVAILABLE, and the errors of `takeEffect`
 */
export function recordSeal<T>(
  shard: Shard,
  seal: Seal,
  { replaced, ...record }: SealRecord,
  takeEffect: (seal: Seal) => T,
): Promise<T> {
  const entry = { shard, seal, ...(replaced === undefined ? {} : { replaced }) };
  return recordSeals([entry], record, (seals) => takeEffect(seals[0] ?? seal));
}

/** A seal that takes effect together with others. */
export interface SealEntry {
  readonly shard: Shard;
  readonly seal: Seal;
  readonly replaced?: ReplacedHandle;
  readonly isRecorded?: boolean;
}

/** As `recordSeal`, for several seals that take effect at once. Their entries are appended to the log together. */
export async function recordSeals<T>(
  entries: readonly SealEntry[],
  { worker, actor }: Omit<SealRecord, 'replaced'>,
  takeEffect: (seals: readonly Seal[]) => T,
): Promise<T> {
  await settleAll(entries.map((entry) => appendSealed(entry, worker, actor)));
  const { kid } = worker.signer.key;
  if (entries.every(({ seal }) => seal.kid === kid)) return takeEffect(entries.map(({ seal }) => seal));
  const again = entries.map(({ shard, seal }) =>
    seal.kid === kid
      ? { shard, seal, isRecorded: true }
      : { shard, seal: sign(shard, seal, worker.signer, seal), replaced: seal },
  );
  return recordSeals(again, { worker, ...(actor === undefined ? {} : { actor }) }, takeEffect);
}

async function appendSealed(
  { shard, seal, replaced, isRecorded }: SealEntry,
  { shardAudit }: SealRecord['worker'],
  actor: Actor | undefined,
): Promise<void> {
  if (isRecorded === true) return;
  const { jti, digest, treeDigest } = seal;
  const prev = replaced === undefined ? {} : { prev: replaced.jti };
  await shardAudit.appendRequired('VramSealed', shard, { jti, ...prev, digest, tree_digest: treeDigest }, actor);
}

type Unsigned = Omit<Seal, 'handle' | 'jti' | 'kid'>;

function sign(shard: Shard, unsigned: Unsigned, signer: Signer, replaced: ReplacedHandle | undefined): Seal {
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
    ...(unsigned.expectedBy === null ? {} : { expected_by: unsigned.expectedBy }),
    ...(shard.sourceText === null ? {} : { source: shard.sourceText }),
    sealed_at: new Date(unsigned.sealedAtMs).toISOString(),
    exportable: shard.exportable,
    exported_at: unsigned.exportedAtMs === null ? null : new Date(unsigned.exportedAtMs).toISOString(),
  });
  return { ...unsigned, handle, jti, kid: signer.key.kid };
}
