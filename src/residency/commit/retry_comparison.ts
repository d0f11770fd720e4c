import { WorkerError } from '../../errors.js';
import type { Load, LoadResult } from '../../vram/load.js';
import { maxWritersOf } from '../options.js';
import type { Seal } from '../state/seal.js';
import type { Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';
import type { IngestTarget } from './ingest.js';
import { type CommitRequest, type CommitResult, resultOf } from './request.js';

/** The error for a commit whose shard id is taken. */
export function conflictOf(shard: Shard): WorkerError {
  if (shard.state === 'sealed')
    return new WorkerError(
      'SHARD_CONFLICT',
      'shard_id belongs to another shard: release that shard, or use another shard_id',
    );
  if (shard.state === 'corrupt') return new WorkerError('SHARD_CONFLICT', 'The shard is corrupt: release it first');
  return new WorkerError('SHARD_BUSY', `The shard is ${shard.state}`, { retryAfterMs: 1000 });
}

/**
 * Compares the bytes of a repeated commit with the sealed shard that has its id. The host digests the bytes. Nothing is
 * allocated on the device, and nothing changes.
 */
export class RetryComparison implements IngestTarget {
  readonly totalBytes: number;
  readonly maxWriters: number;
  readonly #worker: WorkerState;
  readonly #request: CommitRequest;
  readonly #existing: Shard;
  readonly #seal: Seal;
  /** Whether to compute SHA-256. If the seal has none, only the new bytes can prove the expected one. */
  readonly #flat: boolean;

  constructor(worker: WorkerState, request: CommitRequest, existing: Shard, seal: Seal) {
    this.#worker = worker;
    this.#request = request;
    this.#existing = existing;
    this.#seal = seal;
    this.#flat = request.expectedDigest !== undefined && seal.digest === null;
    this.totalBytes = request.vramBytes;
    this.maxWriters = maxWritersOf(worker.options, this.#flat);
  }

  open(): Promise<Load> {
    return this.#worker.driver.hostLoad(this.totalBytes, { flat: this.#flat, tree: true });
  }

  received(): void {}

  async complete({ flat, tree }: LoadResult): Promise<CommitResult> {
    const existing = this.#existing;
    const isSame = tree === this.#seal.treeDigest && (!this.#flat || flat === this.#request.expectedDigest);
    const { seal } = existing;
    const isHere = existing.state === 'sealed' && this.#worker.shards.get(this.#request.shardId) === existing;
    if (!isSame || !isHere || seal === undefined) throw conflictOf(existing);
    return resultOf(existing, seal.handle, false);
  }

  async undo(): Promise<void> {}

  ended(): void {}
}
