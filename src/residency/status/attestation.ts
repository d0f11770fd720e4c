import { createHash } from 'node:crypto';
import { signJws } from '../../seal/jws.js';
import type { Moment } from '../../vram/moment.js';
import type { Seal, Shard } from '../state/shard.js';
import type { Signer } from '../state/signer.js';

/** The question that an attestation answers. */
export interface Question {
  readonly nonce: string;
  readonly modelRef?: string;
  readonly maxAgeSeconds?: number;
  readonly askedAt: Moment;
  /** Lists the shards; otherwise their hash represents them. */
  readonly withHandles: boolean;
}

/** A sealed shard of the answer. */
export interface AttestedShard {
  readonly shard: Shard;
  readonly seal: Seal;
}

/**
 * Signs the answer to a question as a compact JWS of type `vram-attestation+jws`. The answer and the question are one
 * statement, so that no part of it can be moved to another question. `docs/handles.md` describes the claims.
 */
export function signAttestation(
  { workerId, bootId, key }: Signer,
  { nonce, modelRef, maxAgeSeconds, askedAt, withHandles }: Question,
  ready: boolean,
  sealed: readonly AttestedShard[],
): string {
  const shards = sealed.map(claimsOf).sort((a, b) => (a.shard_id < b.shard_id ? -1 : 1));
  const verifiedAtMs = sealed.map(({ seal }) => seal.verifiedAt.wallMs);
  const oldest = verifiedAtMs.reduce<number | null>((least, ms) => Math.min(least ?? ms, ms), null);
  const claims = {
    iss: workerId,
    boot_id: bootId,
    nonce,
    iat: Math.floor(Date.now() / 1000),
    model_ref: modelRef ?? null,
    max_age_seconds: maxAgeSeconds ?? null,
    asked_at: instant(askedAt.wallMs),
    ready,
    oldest_verified_at: oldest === null ? null : instant(oldest),
    ...(withHandles ? { shards } : { shards_sha256: hashOf(shards) }),
  };
  return signJws('vram-attestation+jws', claims, key);
}

type ShardClaims = ReturnType<typeof claimsOf>;

const claimsOf = ({ shard, seal }: AttestedShard) => ({
  shard_id: shard.identity.shardId,
  jti: seal.jti,
  last_verified_at: instant(seal.verifiedAt.wallMs),
});

/** SHA-256, in hex, of one line per shard. */
function hashOf(shards: readonly ShardClaims[]): string {
  const hash = createHash('sha256');
  for (const { shard_id, jti, last_verified_at } of shards) hash.update(`${shard_id} ${jti} ${last_verified_at}\n`);
  return hash.digest('hex');
}

const instant = (epochMs: number): string => new Date(epochMs).toISOString();
