import { createHash } from 'node:crypto';
import { signJwsPayload } from '../../seal/jws.js';
import type { Moment } from '../../vram/moment.js';
import type { Seal } from '../state/seal.js';
import type { Signer } from '../state/signer.js';
import type { ShardSnapshot } from '../state/snapshot.js';
import { cached, encodeInSlices, Items, jsonPieces, texts } from './json_pieces.js';

/** The question that an attestation answers. */
export interface Question {
  readonly nonce: string;
  readonly modelRef?: string;
  readonly maxAgeSeconds?: number;
  readonly askedAt: Moment;
}

/** A sealed shard of the answer, with its seal at that moment. */
export interface AttestedShard {
  readonly shard: ShardSnapshot;
  readonly seal: Seal;
}

/** What an attestation says of the shards. It is the same for all questions about one state of the worker. */
export interface Answer {
  readonly ready: boolean;
  /** Milliseconds since the epoch; null if no shard is sealed. */
  readonly oldestVerifiedAtMs: number | null;
  /** The last claim as JSON, with its name: the list of the shards, or its hash. */
  readonly shardsClaim: Buffer;
  /** When the worker was in this state, in milliseconds since the epoch. */
  readonly atMs: number;
}

/**
 * Signs the answer to a question as a compact JWS of type `vram-attestation+jws`. The answer and the question are one
 * statement, so that no part of it can be moved to another question. `docs/handles.md` describes the claims. Visits no shard.
 */
export function signAttestation(
  { workerId, bootId, key }: Signer,
  { nonce, modelRef, maxAgeSeconds, askedAt }: Question,
  { ready, oldestVerifiedAtMs, shardsClaim, atMs }: Answer,
): string {
  const claims = {
    iss: workerId,
    boot_id: bootId,
    nonce,
    iat: Math.floor(atMs / 1000),
    model_ref: modelRef ?? null,
    max_age_seconds: maxAgeSeconds ?? null,
    asked_at: instant(askedAt.wallMs),
    ready,
    oldest_verified_at: oldestVerifiedAtMs === null ? null : instant(oldestVerifiedAtMs),
  };
  const start = Buffer.from(`${JSON.stringify(claims).slice(0, -1)},`);
  return signJwsPayload('vram-attestation+jws', Buffer.concat([start, shardsClaim, Buffer.from('}')]), key);
}

/** The claim about sealed shards, which are in the order of their ids: all of them, or their hash. */
export async function shardsClaimOf(sealed: readonly AttestedShard[], withHandles: boolean): Promise<Buffer> {
  if (!withHandles) return Buffer.from(`"shards_sha256":"${await hashOf(sealed)}"`);
  const list = await encodeInSlices(jsonPieces<Record<string, unknown>>({ shards: Items.of(sealed, claimsJson) }));
  return list.subarray(1, -1);
}

const sealOf = ({ seal }: AttestedShard): Seal => seal;

const claimsJson = cached(sealOf, ({ shard, seal }: AttestedShard) =>
  JSON.stringify({
    shard_id: shard.shardId,
    jti: seal.jti,
    last_verified_at: instant(seal.verifiedAt.wallMs),
  }),
);

const hashLine = cached(
  sealOf,
  ({ shard, seal }: AttestedShard) => `${shard.shardId} ${seal.jti} ${instant(seal.verifiedAt.wallMs)}\n`,
);

/** SHA-256, in hex, of one line per shard. */
async function hashOf(sealed: readonly AttestedShard[]): Promise<string> {
  const hash = createHash('sha256');
  await encodeInSlices(texts(sealed, hashLine), hash);
  return hash.digest('hex');
}

const instant = (epochMs: number): string => new Date(epochMs).toISOString();
