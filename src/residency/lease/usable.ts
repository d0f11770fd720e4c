import { WorkerError } from '../../errors.js';
import type { Seal } from '../state/seal.js';
import type { Shard } from '../state/shard.js';

/** @throws WorkerError SHARD_BUSY, SHARD_CONFLICT if the shard cannot be handed over now */
export function requireUsable(shard: Shard): Seal {
  const { phase, releaseRequested, state } = shard;
  if (state === 'corrupt') throw new WorkerError('SHARD_CONFLICT', 'The shard is corrupt');
  if (phase.state === 'sealed' && !releaseRequested) return phase.seal;
  throw new WorkerError('SHARD_BUSY', `The shard is ${releaseRequested ? 'releasing' : state}`, { retryAfterMs: 1000 });
}
