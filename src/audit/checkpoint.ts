import { parseJsonPart } from '../seal/json.js';
import { type JwsFault, signJws, verifyJws } from '../seal/jws.js';
import type { SealKey, VerifyKey } from '../seal/key.js';
import { systemActor } from './actor.js';
import type { AuditRecord, ChainHead, Entry } from './entry.js';

/**
 * Why a checkpoint was written.
 *  - `interval`: every 256th entry.
 *  - `rotation`: the first entry after a full file.
 *  - `moved`: the first entry after a file that another process moved or emptied.
 *  - `stop`: the worker stops.
 */
const reasons = ['interval', 'rotation', 'moved', 'stop'] as const;
export type CheckpointReason = (typeof reasons)[number];

/** The worker process that signs checkpoints. The log reads `key` for each checkpoint, so it may rotate. */
export interface CheckpointSigner {
  readonly workerId: string;
  readonly bootId: string;
  readonly key: SealKey;
}

/** The signed claims of a checkpoint: entry `sequence` has the hash `hash`. Named as in the JWS payload. */
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

const interval = 256;

/** Whether the entry with this number must be a checkpoint. */
export const isCheckpointDue = (seq: number): boolean => seq % interval === 0;

/** Looks up the keys of a worker. `iss` comes from a checkpoint whose signature is not verified yet. */
export type KeysOf = (iss: string) => readonly VerifyKey[];

/** Makes the record of a checkpoint that signs `head`: a JWS of type `vram-audit+jws` (RFC 7515). */
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

/** The JWS of a checkpoint entry. Undefined for other entries, and for a checkpoint entry without a JWS. */
export function checkpointOf({ event, fields }: Pick<Entry, 'event' | 'fields'>): string | undefined {
  return event === 'AuditCheckpoint' && typeof fields.checkpoint === 'string' ? fields.checkpoint : undefined;
}

/** The claims of a checkpoint, without verification of the signature. Undefined if they are malformed. */
export function readCheckpoint(jws: string): CheckpointClaims | undefined {
  const claims = parseJsonPart(jws.split('.')[1] ?? '');
  return isCheckpointClaims(claims) ? claims : undefined;
}

/** Null if one of the keys verifies the signature, else the first reason other than `unknown_key`, if there is one. */
export function signatureFault(jws: string, keysOf: KeysOf): JwsFault | null {
  const verdicts = keysOf(readCheckpoint(jws)?.iss ?? '').map((key) => verifyJws('vram-audit+jws', jws, key));
  if (verdicts.some(({ ok }) => ok)) return null;
  return (
    verdicts.flatMap((verdict) => (verdict.ok || verdict.reason === 'unknown_key' ? [] : [verdict.reason]))[0] ??
    'unknown_key'
  );
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
