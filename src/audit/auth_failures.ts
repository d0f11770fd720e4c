/** Failed authentications of one token from one address, from when the first of them was written down. */
interface Series {
  readonly fields: { readonly token_fingerprint: string | null; readonly remote_address: string | null };
  readonly sinceMs: number;
  /** Those that no entry tells of yet. */
  count: number;
}

/** What an entry tells of: how many failures, and of whom; null where there were too many to tell apart. */
export interface FailureEntry {
  readonly token_fingerprint: string | null;
  readonly remote_address: string | null;
  readonly count: number;
}

export interface FailureOptions {
  /** Writes an entry; `requestId` is that of a first failure. */
  readonly write: (entry: FailureEntry, requestId: string | null) => void;
  readonly monotonicMs?: () => number;
}

/** A series is told of at most once in so long. */
const periodMs = 60_000;

/** So many series are told apart at one time. All others are one more, so that nobody can fill the disk, or the memory. */
const maxSeries = 16;

const others = '';

/** Tells of failed authentications: of the first at once, of all that follow by their number, once a minute. */
export class AuthFailures {
  readonly #write: FailureOptions['write'];
  readonly #monotonicMs: () => number;
  readonly #series = new Map<string, Series>();

  constructor({ write, monotonicMs = () => performance.now() }: FailureOptions) {
    this.#write = write;
    this.#monotonicMs = monotonicMs;
  }

  add(fingerprint: string, address: string, requestId: string): void {
    this.tick();
    const own = `${fingerprint} ${address}`;
    const key = this.#series.has(own) || this.#named < maxSeries ? own : others;
    const series = this.#series.get(key);
    if (series !== undefined) {
      series.count++;
      return;
    }
    const told = key === own;
    const fields = { token_fingerprint: told ? fingerprint : null, remote_address: told ? address : null };
    this.#series.set(key, { fields, sinceMs: this.#monotonicMs(), count: 0 });
    this.#write({ ...fields, count: 1 }, requestId);
  }

  /** Tells of what has come together in a minute, and forgets those who came no more. */
  tick(): void {
    const nowMs = this.#monotonicMs();
    for (const [key, series] of this.#series) {
      if (nowMs - series.sinceMs < periodMs) continue;
      if (series.count > 0) {
        this.#series.set(key, { ...series, sinceMs: nowMs, count: 0 });
        this.#write({ ...series.fields, count: series.count }, null);
      } else {
        this.#series.delete(key);
      }
    }
  }

  /** Tells of what is left, at the end. */
  flush(): void {
    for (const series of this.#series.values()) {
      if (series.count > 0) this.#write({ ...series.fields, count: series.count }, null);
    }
    this.#series.clear();
  }

  get #named(): number {
    return this.#series.size - (this.#series.has(others) ? 1 : 0);
  }
}
