import type { HandleClaims } from '../../../src/seal/handle.js';
import type { SharedKey } from '../../../src/seal/key.js';
import type { Random } from './random.js';

/** A current handle, and everything that an attacker may know about it. */
export interface Target {
  readonly handle: string;
  readonly parts: readonly [header: string, payload: string, signature: string];
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: HandleClaims;
  /** The public half of the key, which a verifier could use as an HMAC secret by mistake. */
  readonly publicBytes: readonly Buffer[];
  /** A handle that this worker signed before its restart, and one that another worker signed. */
  readonly ofEarlierBoot: string;
  readonly ofOtherWorker: string;
  /** Statements other than handles that the worker signs with the same key. */
  readonly attestation: string;
  /** The key itself, if it is symmetric and the attacker verifies handles with it. */
  readonly shared: SharedKey | undefined;
}

/** Makes a forged handle. */
export type Forge = (target: Target, random: Random) => string;

export const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
