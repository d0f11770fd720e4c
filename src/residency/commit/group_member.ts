import type { Load, LoadResult } from '../../vram/load.js';
import { type Moment, momentNow } from '../../vram/moment.js';
import type { Proof } from '../state/seal.js';
import type { WorkerState } from '../state/worker_state.js';
import { Ingest, type IngestTarget } from './ingest.js';
import type { ProvenShard } from './seal_shards.js';
import type { ShardCommit } from './shard_commit.js';

/** A digest of a file that began more than this before the last byte of the group is too old for its seal. */
const maxProofAgeMs = 2000;

/** One new shard of a group. It is received in one or more attempts, proven, and then waits for the seal of the group. */
export class GroupMember implements IngestTarget<void> {
  readonly commit: ShardCommit;
  readonly #worker: WorkerState;
  readonly #groupSignal: AbortSignal;
  #ingest: Ingest<void> | undefined;
  #arrivedAt: Moment | undefined;
  #proof: Proof | undefined;
  /** The error of the last failed step. */
  #failure: unknown;

  constructor(worker: WorkerState, commit: ShardCommit, groupSignal: AbortSignal) {
    this.#worker = worker;
    this.commit = commit;
    this.#groupSignal = groupSignal;
  }

  get totalBytes(): number {
    return this.commit.totalBytes;
  }

  get maxWriters(): number {
    return this.commit.maxWriters;
  }

  /** When all bytes had arrived; undefined before that. */
  get arrivedAt(): Moment | undefined {
    return this.#arrivedAt;
  }

  /** Begins an attempt. The previous one must have failed. */
  begin(): Ingest<void> {
    // A group has a bounded number of these at a time, and a commit of a client must not be refused for them.
    const slot = this.#worker.commitQueue.acquire(Number.POSITIVE_INFINITY);
    this.#ingest = new Ingest(slot, this.#worker.driver.staging, this, () => {
      this.#ingest = undefined;
    });
    return this.#ingest;
  }

  open(): Promise<Load> {
    return this.commit.open();
  }

  received(bytes: number): void {
    this.commit.received(bytes);
  }

  /** Proves the bytes. The slot is then free for other files. */
  async complete(received: LoadResult, signal: AbortSignal): Promise<void> {
    this.#arrivedAt = momentNow();
    this.#proof = await this.commit.prove(received, signal);
  }

  /** A failed attempt. If the group has ended, it frees the memory itself. */
  async undo(error: unknown): Promise<void> {
    if (!this.#groupSignal.aborted) await this.commit.reset(error);
  }

  ended(error: unknown): void {
    this.#failure = error;
  }

  /** Digests the shard again if its digest is too old for a last byte at `lastByteAt`. */
  async refresh(lastByteAt: Moment): Promise<void> {
    const proof = this.#proof;
    if (proof === undefined || proof.verifiedAt.monotonicMs >= lastByteAt.monotonicMs - maxProofAgeMs) return;
    try {
      this.#proof = await this.commit.proveAgain(proof, this.#groupSignal);
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  /** The shard for `sealShards`, if it is proven. */
  get sealable(): ProvenShard | undefined {
    return this.#proof && this.commit.provenBy(this.#proof);
  }

  /** Ends the attempt in progress, and undoes the commit. Never rejects. */
  async abandon(error: unknown): Promise<void> {
    await this.#ingest?.abort(error);
    await this.commit.undo(error);
    this.commit.ended(error, this.#failure === error);
  }
}
