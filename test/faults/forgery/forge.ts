import type { HandleClaims } from '../../../src/seal/handle.js';
import type { SharedKey } from '../../../src/seal/key.js';
import type { Random } from './random.js';

/** A handle that stands, and all that somebody who attacks it may know of it. */
export interface Target {
  readonly handle: string;
  readonly parts: readonly [header: string, payload: string, signature: string];
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: HandleClaims;
  /** What is public of the key: what an HMAC could be made with by mistake. */
  readonly publicBytes: readonly Buffer[];
  /** A handle that this worker signed before it was restarted, and one that another worker signed. */
  readonly ofEarlierBoot: string;
  readonly ofOtherWorker: string;
  /** What the worker signs besides handles, with the same key. */
  readonly attestation: string;
  /** The key itself, where whoever verifies holds it too. */
  readonly shared: SharedKey | undefined;
}

/** Makes something that is not the handle and would like to be taken for one. */
export type Forge = (target: Target, random: Random) => string;

export const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
