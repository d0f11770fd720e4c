import type { Seal } from '../../src/residency/state/seal.js';
import { digestOf } from '../../src/seal/digest.js';

/** A seal for tests of a shard's states, with a handle that was not signed. `kid` names the key. */
export const sealOf = (kid: string): Seal => ({
  digest: null,
  treeDigest: digestOf(Buffer.alloc(32, 1)),
  groupHashes: Buffer.alloc(32),
  expected: 'none',
  expectedBy: null,
  handle: 'handle',
  jti: 'jti',
  kid,
  previous: [],
  sealedAtMs: 1,
  exportedAtMs: null,
  verifiedAt: { wallMs: 1, monotonicMs: 1 },
});
