import { type Digest, isDigest } from './digest.js';
import { type JwsFault, type KeySource, signJws, verifyJws } from './jws.js';
import type { SealKey } from './key.js';

/** The driver that holds the memory: NVIDIA's, the simulator, or a library that the operator configured. */
export const driverKinds = ['cuda', 'simulated', 'override'] as const;
export type DriverKind = (typeof driverKinds)[number];

/** Which expected digests the client sent with the commit. */
export const expectations = ['sha256', 'tree', 'both', 'none'] as const;
export type Expectation = (typeof expectations)[number];

/** Who stated the expected digests of a commit by reference. A source's digest is a claim, which the bytes were held to. */
export const expectedBySet = ['client', 'source'] as const;
export type ExpectedBy = (typeof expectedBySet)[number];

/** The claims of a shard handle, named as in the JWS payload. */
export interface HandleClaims {
  readonly iss: string;
  readonly boot_id: string;
  readonly jti: string;
  /** The `jti` of the handle that this one replaced, if any. */
  readonly prev?: string;
  /** Seconds since the epoch (RFC 7519 §2). */
  readonly iat: number;
  readonly shard_id: string;
  readonly model_ref: string;
  readonly shard_index: number;
  readonly total_shards: number;
  readonly gpu_device: number;
  readonly gpu_uuid: string;
  readonly vram_bytes: number;
  /** SHA-256 of the shard's bytes; null if it was not computed. */
  readonly digest: Digest | null;
  /** The fs-verity digest of the shard's bytes. */
  readonly tree_digest: Digest;
  readonly expected: Expectation;
  /** Who stated them. Absent for an upload, and if none was stated. */
  readonly expected_by?: ExpectedBy;
  /** The pinned reference of a commit by reference, as text. */
  readonly source?: string;
  /** RFC 3339, UTC. */
  readonly sealed_at: string;
  /** Whether the memory can be handed over to other processes. If false, no other process ever had it. */
  readonly exportable: boolean;
  /** When the memory was first handed over, RFC 3339, UTC. From then on other processes may be able to write it. */
  readonly exported_at: string | null;
  readonly driver: DriverKind;
  /** False only for the driver `cuda`. */
  readonly simulated: boolean;
}

export type HandleCheck =
  | { readonly ok: true; readonly claims: HandleClaims }
  | { readonly ok: false; readonly reason: JwsFault };

/** Signs a shard handle: a compact JWS of type `vram-seal+jws`. */
export const signHandle = (claims: HandleClaims, key: SealKey): string => signJws('vram-seal+jws', claims, key);

/** Verifies a handle's signature and the types of its claims. Only the worker knows whether the handle is current. */
export function verifyHandle(handle: string, keys: KeySource): HandleCheck {
  const verdict = verifyJws('vram-seal+jws', handle, keys);
  if (!verdict.ok) return verdict;
  return isHandleClaims(verdict.claims) ? { ok: true, claims: verdict.claims } : { ok: false, reason: 'malformed' };
}

const textClaims = ['iss', 'boot_id', 'jti', 'shard_id', 'model_ref', 'gpu_uuid', 'sealed_at'] as const;
const numberClaims = ['iat', 'shard_index', 'total_shards', 'gpu_device', 'vram_bytes'] as const;

const otherClaims: Readonly<Record<string, (value: unknown) => boolean>> = {
  digest: (value) => value === null || isDigest(value),
  tree_digest: isDigest,
  expected: (value) => expectations.some((word) => word === value),
  driver: (value) => driverKinds.some((word) => word === value),
  simulated: (value) => typeof value === 'boolean',
  exportable: (value) => typeof value === 'boolean',
  exported_at: (value) => value === null || typeof value === 'string',
};

const optionalClaims: Readonly<Record<string, (value: unknown) => boolean>> = {
  prev: (value) => typeof value === 'string',
  expected_by: (value) => expectedBySet.some((word) => word === value),
  source: (value) => typeof value === 'string',
};

/** All claims must be present, except the optional ones. Unknown claims belong to another version, so they are rejected. */
function isHandleClaims(claims: object): claims is HandleClaims {
  const values = new Map<string, unknown>(Object.entries(claims));
  const known = textClaims.length + numberClaims.length + Object.keys(otherClaims).length;
  const optional = Object.entries(optionalClaims).filter(([name]) => values.has(name));
  return (
    values.size === known + optional.length &&
    optional.every(([name, holds]) => holds(values.get(name))) &&
    textClaims.every((name) => typeof values.get(name) === 'string') &&
    numberClaims.every((name) => Number.isSafeInteger(values.get(name)) && Number(values.get(name)) >= 0) &&
    Object.entries(otherClaims).every(([name, holds]) => holds(values.get(name)))
  );
}
