/** An entry about one or more failures. Both names are null for the failures that are not tracked separately. */
export interface FailureEntry {
  readonly token_fingerprint: string | null;
  readonly remote_address: string | null;
  readonly count: number;
}

export interface FailureOptions {
  /** Appends an entry. `requestId` belongs to the first failure of a series; it is null for a summary. */
  readonly write: (entry: FailureEntry, requestId: string | null) => void;
  readonly monotonicMs?: () => number;
}

/** Failures of one token from one address. */
interface Series {
  readonly source: Pick<FailureEntry, 'token_fingerprint' | 'remote_address'>;
  /** The time of its last entry. */
  readonly writtenMs: number;
  /** Failures since its last entry. */
  count: number;
}

/** A series gets at most one entry per period. */
const periodMs = 60_000;

/** The number of separate series. All others share one, so a client cannot fill the disk or the memory. */
const maxSeries = 16;

const sharedKey = '';

/** Limits entries about failed authentications: the first is written immediately, later ones as a count per minute. */
export class AuthFailures {
  readonly #write: FailureOptions['write'];
  readonly #monotonicMs: () => number;
  readonly #series = new Map<string, Series>();

  constructor({ write, monotonicMs = () => performance.now() }: FailureOptions) {
    this.#write = write;
    this.#monotonicMs = monotonicMs;
  }

  /** Records one failure of the token with this fingerprint. */
  add(fingerprint: string, address: string, requestId: string): void {
    this.tick();
    const ownKey = `${fingerprint} ${address}`;
    const key = this.#series.has(ownKey) || this.#separateSeries < maxSeries ? ownKey : sharedKey;
    const series = this.#series.get(key);
    if (series !== undefined) {
      series.count++;
      return;
    }
    const separate = key === ownKey;
    const source = { token_fingerprint: separate ? fingerprint : null, remote_address: separate ? address : null };
    this.#series.set(key, { source, writtenMs: this.#monotonicMs(), count: 0 });
    this.#write({ ...source, count: 1 }, requestId);
  }

  /** Writes the counts that are due, and forgets each series without a failure in its last period. */
  tick(): void {
    const nowMs = this.#monotonicMs();
    for (const [key, series] of this.#series) {
      if (nowMs - series.writtenMs < periodMs) continue;
      if (series.count > 0) {
        this.#series.set(key, { ...series, writtenMs: nowMs, count: 0 });
        this.#write({ ...series.source, count: series.count }, null);
      } else {
        this.#series.delete(key);
      }
    }
  }

  /** Writes all remaining counts, due or not. Called at shutdown. */
  flush(): void {
    for (const series of this.#series.values()) {
      if (series.count > 0) this.#write({ ...series.source, count: series.count }, null);
    }
    this.#series.clear();
  }

  get #separateSeries(): number {
    return this.#series.size - (this.#series.has(sharedKey) ? 1 : 0);
  }
}
