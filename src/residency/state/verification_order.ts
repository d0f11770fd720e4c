import type { Moment } from '../../vram/moment.js';
import type { Shard } from './shard.js';

/** Sealed shards in the order of their last verifications, on both clocks. */
export class VerificationOrder {
  readonly #monotonic = new Timeline();
  readonly #wall = new Timeline();

  /** The oldest last verification, in milliseconds since the epoch; null if there is no shard. */
  get oldestMs(): number | null {
    return this.#wall.firstMs ?? null;
  }

  add(shard: Shard, { monotonicMs, wallMs }: Moment): void {
    this.#monotonic.add(monotonicMs, shard);
    this.#wall.add(wallMs, shard);
  }

  /** `verifiedAt` must be the moment with which the shard was added. */
  remove(shard: Shard, { monotonicMs, wallMs }: Moment): void {
    this.#monotonic.remove(monotonicMs, shard);
    this.#wall.remove(wallMs, shard);
  }

  /** Whether a shard was last verified before a moment on either clock. Visits none. */
  isAnyBefore({ monotonicMs, wallMs }: Moment): boolean {
    const { firstMs = monotonicMs } = this.#monotonic;
    const { firstMs: firstWallMs = wallMs } = this.#wall;
    return firstMs < monotonicMs || firstWallMs < wallMs;
  }

  /** How many shards were last verified before a time on the monotonic clock. Visits none. */
  countBefore(monotonicMs: number): number {
    return this.#monotonic.countBefore(monotonicMs);
  }

  /** The shards that were last verified before a moment on either clock, by id. Visits only these. */
  before({ monotonicMs, wallMs }: Moment): Shard[] {
    const old = new Set([...this.#monotonic.before(monotonicMs), ...this.#wall.before(wallMs)]);
    return [...old].sort((a, b) => (a.identity.shardId < b.identity.shardId ? -1 : 1));
  }
}

/** Shards in the order of a time in milliseconds, then of their ids. */
class Timeline {
  readonly #times: number[] = [];
  readonly #shards: Shard[] = [];

  get firstMs(): number | undefined {
    return this.#times[0];
  }

  add(ms: number, shard: Shard): void {
    const index = this.#placeOf(ms, shard.identity.shardId);
    this.#times.splice(index, 0, ms);
    this.#shards.splice(index, 0, shard);
  }

  remove(ms: number, shard: Shard): void {
    const index = this.#placeOf(ms, shard.identity.shardId);
    if (this.#shards[index] !== shard) return;
    this.#times.splice(index, 1);
    this.#shards.splice(index, 1);
  }

  before(ms: number): Shard[] {
    return this.#shards.slice(0, this.countBefore(ms));
  }

  countBefore(ms: number): number {
    return this.#placeOf(ms, '');
  }

  /** The index of the first shard that is not before this place. */
  #placeOf(ms: number, shardId: string): number {
    let [low, high] = [0, this.#times.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const [time = 0, id = ''] = [this.#times[middle], this.#shards[middle]?.identity.shardId];
      if (time < ms || (time === ms && id < shardId)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
