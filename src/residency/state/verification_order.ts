import type { Moment } from '../../vram/moment.js';
import type { Shard } from './shard.js';
import { SortedList } from './sorted_list.js';

/** Sealed shards in the order of their last verifications, on both clocks. */
export class VerificationOrder {
  readonly #monotonic = new Timeline();
  readonly #wall = new Timeline();
  #bytes = 0;

  /** The oldest last verification, in milliseconds since the epoch; null if there is no shard. */
  get oldestMs(): number | null {
    return this.#wall.firstMs ?? null;
  }

  /** The same on the monotonic clock; infinite if there is no shard. */
  get oldestMonotonicMs(): number {
    return this.#monotonic.firstMs ?? Number.POSITIVE_INFINITY;
  }

  /** The bytes of all shards. */
  get bytes(): number {
    return this.#bytes;
  }

  add(shard: Shard, { monotonicMs, wallMs }: Moment): void {
    this.#monotonic.add(monotonicMs, shard);
    this.#wall.add(wallMs, shard);
    this.#bytes += shard.vramBytes;
  }

  /** `verifiedAt` must be the moment with which the shard was added. */
  remove(shard: Shard, { monotonicMs, wallMs }: Moment): void {
    this.#monotonic.remove(monotonicMs, shard);
    this.#wall.remove(wallMs, shard);
    this.#bytes -= shard.vramBytes;
  }

  /** Whether a shard was last verified before a moment on either clock. Visits none. */
  isAnyBefore({ monotonicMs, wallMs }: Moment): boolean {
    const { firstMs: firstWallMs = wallMs } = this.#wall;
    return this.oldestMonotonicMs < monotonicMs || firstWallMs < wallMs;
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

  /** All shards, the one with the oldest verification on the monotonic clock first. */
  byAge(): Generator<Shard> {
    return this.#monotonic.before(Number.POSITIVE_INFINITY);
  }
}

interface Verified {
  readonly ms: number;
  readonly shard: Shard;
}

const idOf = ({ shard }: Verified): string => shard.identity.shardId;

/** Shards in the order of a time in milliseconds, then of their ids. */
class Timeline {
  readonly #verified = new SortedList<Verified>(
    (a, b) => a.ms - b.ms || (idOf(a) < idOf(b) ? -1 : Number(idOf(a) > idOf(b))),
  );

  get firstMs(): number | undefined {
    return this.#verified.first?.ms;
  }

  add(ms: number, shard: Shard): void {
    this.#verified.add({ ms, shard });
  }

  remove(ms: number, shard: Shard): void {
    this.#verified.delete({ ms, shard });
  }

  *before(ms: number): Generator<Shard> {
    for (const run of this.#verified.runs()) {
      for (const verified of run) {
        if (verified.ms >= ms) return;
        yield verified.shard;
      }
    }
  }

  countBefore(ms: number): number {
    return this.#verified.countBefore((verified) => verified.ms < ms);
  }
}
