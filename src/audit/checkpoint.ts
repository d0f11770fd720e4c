import { type JwsFault, signJws, verifyJws } from '../seal/jws.js';
import type { SealKey, VerifyKey } from '../seal/key.js';
import { systemActor } from './actor.js';
import type { AuditRecord, ChainHead, Entry } from './entry.js';

/**
 * Why a checkpoint was written: so many entries have passed, a new file begins since the one before was full, or since
 * somebody took that away or emptied it, or the worker ends.
 */
const reasons = ['interval', 'rotation', 'moved', 'stop'] as const;
export type CheckpointReason = (typeof reasons)[number];

/** The worker process that signs checkpoints. `key` is read for each checkpoint, so it may rotate. */
export interface CheckpointSigner {
  readonly workerId: string;
  readonly bootId: string;
  readonly key: SealKey;
}

/** What a checkpoint states, signed: the entry of this number has this hash. Named as in the signature. */
export interface CheckpointClaims {
  readonly iss: string;
  readonly boot_id: string;
  /** Seconds since the epoch. */
  readonly iat: number;
  readonly reason: CheckpointReason;
  readonly sequence: number;
  /** SHA-256 of that entry's line, in hex. */
  readonly hash: string;
}

/** Each entry whose number this divides is a checkpoint. */
const interval = 256;

export const isDue = (seq: number): boolean => seq % interval === 0;

/** Keys of the workers that may have signed; `iss` is what the signature, not yet checked, says of itself. */
export type KeysOf = (iss: string) => readonly VerifyKey[];

/** The entry that states, in the worker's name, where the chain stands. */
export function writeCheckpoint(
  { workerId, bootId, key }: CheckpointSigner,
  { seq, hash }: ChainHead,
  reason: CheckpointReason,
): AuditRecord {
  const now = new Date();
  const iat = Math.floor(now.getTime() / 1000);
  const claims: CheckpointClaims = { iss: workerId, boot_id: bootId, iat, reason, sequence: seq, hash };
  return {
    time: now.toISOString(),
    event: 'AuditCheckpoint',
    severity: 'info',
    actor: systemActor,
    fields: { reason, checkpoint: signJws('vram-audit+jws', claims, key) },
  };
}

/** The checkpoint of an entry; undefined where it is none, or states something that can not be read. */
export function checkpointOf({ event, fields }: Pick<Entry, 'event' | 'fields'>): string | undefined {
  return event === 'AuditCheckpoint' && typeof fields.checkpoint === 'string' ? fields.checkpoint : undefined;
}

/** What a checkpoint says, whoever signed it; undefined where it can not be read. */
export function readCheckpoint(jws: string): CheckpointClaims | undefined {
  const claims = decode(jws.split('.')[1] ?? '');
  return isCheckpointClaims(claims) ? claims : undefined;
}

/** Null where one of the keys has signed it, else what is wrong. */
export function signatureFault(jws: string, keysOf: KeysOf): JwsFault | null {
  const verdicts = keysOf(readCheckpoint(jws)?.iss ?? '').map((key) => verifyJws('vram-audit+jws', jws, key));
  if (verdicts.some(({ ok }) => ok)) return null;
  return (
    verdicts.flatMap((verdict) => (verdict.ok || verdict.reason === 'unknown_key' ? [] : [verdict.reason]))[0] ??
    'unknown_key'
  );
}

function decode(payload: string): unknown {
  try {
    return JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
}

function isCheckpointClaims(claims: unknown): claims is CheckpointClaims {
  const { iss, sequence, hash, reason }: Partial<Record<keyof CheckpointClaims, unknown>> = Object(claims);
  return (
    typeof iss === 'string' &&
    Number.isSafeInteger(sequence) &&
    /^[0-9a-f]{64}$/.test(String(hash)) &&
    reasons.some((word) => word === reason)
  );
}
