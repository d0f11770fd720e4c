import { createHash } from 'node:crypto';
import { signJwsPayload } from '../../seal/jws.js';
import type { Moment } from '../../vram/moment.js';
import type { Seal } from '../state/seal.js';
import type { Shard } from '../state/shard.js';
import type { Signer } from '../state/signer.js';
import { cached, encodeInSlices, Items, jsonPieces, texts } from './json_pieces.js';

/** The question that an attestation answers. */
export interface Question {
  readonly nonce: string;
  readonly modelRef?: string;
  readonly maxAgeSeconds?: number;
  readonly askedAt: Moment;
  /** Lists the shards; otherwise their hash represents them. */
  readonly withHandles: boolean;
}

/** A sealed shard of the answer, with its seal at that moment. */
export interface AttestedShard {
  readonly shard: Shard;
  readonly seal: Seal;
}

/**
 * Signs the answer to a question as a compact JWS of type `vram-attestation+jws`. The answer and the question are one
 * statement, so that no part of it can be moved to another question. `docs/handles.md` describes the claims.
 */
export async function signAttestation(
  { workerId, bootId, key }: Signer,
  { nonce, modelRef, maxAgeSeconds, askedAt, withHandles }: Question,
  ready: boolean,
  /** In the order of their ids. */
  sealed: readonly AttestedShard[],
): Promise<string> {
  const oldestMs = sealed.reduce(
    (least, { seal }) => Math.min(least, seal.verifiedAt.wallMs),
    Number.POSITIVE_INFINITY,
  );
  const claims = {
    iss: workerId,
    boot_id: bootId,
    nonce,
    iat: Math.floor(Date.now() / 1000),
    model_ref: modelRef ?? null,
    max_age_seconds: maxAgeSeconds ?? null,
    asked_at: instant(askedAt.wallMs),
    ready,
    oldest_verified_at: sealed.length === 0 ? null : instant(oldestMs),
    ...(withHandles ? { shards: Items.of(sealed, claimsJson) } : { shards_sha256: await hashOf(sealed) }),
  };
  return signJwsPayload('vram-attestation+jws', await encodeInSlices(jsonPieces<Record<string, unknown>>(claims)), key);
}

const sealOf = ({ seal }: AttestedShard): Seal => seal;

const claimsJson = cached(sealOf, ({ shard, seal }: AttestedShard) =>
  JSON.stringify({
    shard_id: shard.identity.shardId,
    jti: seal.jti,
    last_verified_at: instant(seal.verifiedAt.wallMs),
  }),
);

const hashLine = cached(
  sealOf,
  ({ shard, seal }: AttestedShard) => `${shard.identity.shardId} ${seal.jti} ${instant(seal.verifiedAt.wallMs)}\n`,
);

/** SHA-256, in hex, of one line per shard. */
async function hashOf(sealed: readonly AttestedShard[]): Promise<string> {
  const hash = createHash('sha256');
  await encodeInSlices(texts(sealed, hashLine), hash);
  return hash.digest('hex');
}

const instant = (epochMs: number): string => new Date(epochMs).toISOString();
