import type { Digest } from '../../seal/digest.js';
import type { Expectation, ExpectedBy } from '../../seal/handle.js';
import type { Moment } from '../../vram/moment.js';

/** The proof of a shard's bytes, from the moment of the seal. */
export interface Proof {
  readonly digest: Digest | null;
  readonly treeDigest: Digest;
  /** One hash per 512 KiB. They locate damage. */
  readonly groupHashes: Buffer;
  /** Which expected digests the client sent. */
  readonly expected: Expectation;
  /** Who stated them, for a commit by reference; null for an upload, and if no digest was stated. */
  readonly expectedBy: ExpectedBy | null;
  /** The bytes were last found correct at this moment or later: no byte was read before it. */
  readonly verifiedAt: Moment;
}

/** A handle signed with a previous key. It stays valid until `expiresAtMs` on the monotonic clock. */
export interface PreviousHandle {
  readonly handle: string;
  readonly expiresAtMs: number;
}

/** A proof and the handle that was signed for it. */
export interface Seal extends Proof {
  readonly handle: string;
  readonly jti: string;
  /** The key that signed the handle. */
  readonly kid: string;
  readonly previous: readonly PreviousHandle[];
  readonly sealedAtMs: number;
  /** When the memory was first handed over to another process, in milliseconds since the epoch. */
  readonly exportedAtMs: number | null;
}
