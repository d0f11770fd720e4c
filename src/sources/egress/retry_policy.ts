import type { RetryRule } from './fault.js';

/** An attempt that brought this many bytes is followed at once by the next. */
export const progressBytes = 256 * 1024;

const maxFailures = 8;
const firstWaitMs = 500;
const maxWaitMs = 30_000;

/** Attempts that follow at once, in a minute. Then each waits. */
const maxReconnects = 64;
const reconnectWindowMs = 60_000;
const reconnectWaitMs = 500;

/** Bounds the attempts of one file that follow at once, over all its transfers. */
export class ReconnectBudget {
  readonly #reconnectsMs: number[] = [];

  /** How long the next attempt after progress waits. */
  waitMs(nowMs: number): number {
    while ((this.#reconnectsMs[0] ?? nowMs) <= nowMs - reconnectWindowMs) this.#reconnectsMs.shift();
    if (this.#reconnectsMs.length >= maxReconnects) return reconnectWaitMs;
    this.#reconnectsMs.push(nowMs);
    return 0;
  }
}

/** What the policy needs to know of an attempt that failed. */
export interface FailedAttempt {
  readonly rule: RetryRule;
  /** Bytes that the attempt brought. */
  readonly bytes: number;
  /** How long the source asks the worker to wait. It replaces the wait of the policy. */
  readonly requestedMs: number | undefined;
  readonly nowMs: number;
}

export type RetryDecision = { readonly kind: 'retry'; readonly waitMs: number } | { readonly kind: 'stop' };

const stop: RetryDecision = { kind: 'stop' };

/**
 * Decides whether and when the next attempt of one transfer begins. Attempts without progress wait with full jitter,
 * 0.5 s × 2ⁿ up to 30 s, and end after 8. Progress resets that count.
 */
export class RetryPolicy {
  readonly #random: () => number;
  readonly #reconnects: ReconnectBudget;
  #failures = 0;
  #hasUsedOnce = false;

  /** @param random a number from 0 to 1, exclusive */
  constructor(random: () => number, reconnects: ReconnectBudget = new ReconnectBudget()) {
    this.#random = random;
    this.#reconnects = reconnects;
  }

  next({ rule, bytes, requestedMs, nowMs }: FailedAttempt): RetryDecision {
    if (rule === 'never') return stop;
    const hasProgress = bytes >= progressBytes;
    if (hasProgress) {
      this.#failures = 0;
      this.#hasUsedOnce = false;
    }
    if (rule === 'once') return this.#once();
    const waitMs = hasProgress ? this.#reconnects.waitMs(nowMs) : this.#backoffMs();
    return waitMs === undefined ? stop : { kind: 'retry', waitMs: requestedMs ?? waitMs };
  }

  #once(): RetryDecision {
    if (this.#hasUsedOnce) return stop;
    this.#hasUsedOnce = true;
    return { kind: 'retry', waitMs: 0 };
  }

  #backoffMs(): number | undefined {
    this.#failures += 1;
    if (this.#failures >= maxFailures) return undefined;
    return this.#random() * Math.min(maxWaitMs, firstWaitMs * 2 ** (this.#failures - 1));
  }
}
