/** A point in time, on the wall clock for reports and on the monotonic clock for comparisons. Milliseconds. */
export interface Moment {
  /** Since the epoch. */
  readonly wallMs: number;
  /** `performance.now()`. */
  readonly monotonicMs: number;
}

export const momentNow = (): Moment => ({ wallMs: Date.now(), monotonicMs: performance.now() });
