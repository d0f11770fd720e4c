import type { Library } from './library.js';
import type { Completion } from './load.js';
import { momentNow } from './moment.js';
import type { DatedHashes } from './streaming_digest.js';
import { groupCount, hashBytes } from './tree.js';
import { violationsOf } from './violations.js';

/** What the call that completed a load found. `startedAt` is before that call. */
export interface EarlyProof extends DatedHashes {
  readonly violations: readonly string[];
}

/**
 * Completes the load of `bytes` bytes, then seals, attests and digests the memory, in one native call. Each call waits for a
 * thread, which costs more than a small load. @throws VramError
 */
export async function completeAndProve(
  library: Library,
  { load, slot, bytes: lastBytes, result }: Completion,
  bytes: number,
): Promise<EarlyProof> {
  const hashes = Buffer.alloc(groupCount(bytes) * hashBytes);
  const startedAt = momentNow();
  const violations = await violationsOf((report) =>
    library.run('vram_load_prove', load, slot, lastBytes, result, report, hashes, hashes.length),
  );
  return { violations, hashes, startedAt, isStable: true };
}
