import type { Lease } from '../state/lease.js';
import type { Shard } from '../state/shard.js';

/** How often at most one shard is verified because of ended leases. */
const intervalMs = 60_000;

/** Verifies a shard in the background after a process that had its memory has ended. The process may have written to it. */
export class VerifyAfterLease {
  readonly #verify: (shard: Shard) => Promise<void>;
  readonly #startedMs = new WeakMap<Shard, number>();
  readonly #scheduled = new WeakSet<Shard>();

  /** `verify` must not reject. */
  constructor(verify: (shard: Shard) => Promise<void>) {
    this.#verify = verify;
  }

  ended({ shard, phase }: Lease): void {
    if (phase.state !== 'ended' || phase.reason === 'not_delivered') return;
    if (shard.state !== 'sealed' || this.#scheduled.has(shard)) return;
    const startedMs = this.#startedMs.get(shard) ?? Number.NEGATIVE_INFINITY;
    const delayMs = Math.max(0, startedMs + intervalMs - performance.now());
    this.#scheduled.add(shard);
    setTimeout(() => this.#start(shard), delayMs).unref();
  }

  #start(shard: Shard): void {
    this.#scheduled.delete(shard);
    if (shard.state !== 'sealed' || shard.releaseRequested) return;
    this.#startedMs.set(shard, performance.now());
    void this.#verify(shard);
  }
}
