/** A point in time, on the wall clock for reports and on the monotonic clock for deadlines. Milliseconds. */
export interface Moment {
  /** Since the epoch. */
  readonly wallMs: number;
  /** `performance.now()`. */
  readonly monotonicMs: number;
}

/** The present moment on both clocks. */
export const momentNow = (): Moment => ({ wallMs: Date.now(), monotonicMs: performance.now() });

/** A moment `byMs` milliseconds before another one. */
export const earlier = ({ wallMs, monotonicMs }: Moment, byMs: number): Moment => ({
  wallMs: wallMs - byMs,
  monotonicMs: monotonicMs - byMs,
});

/**
 * Whether a moment is not before another one, on both clocks. The monotonic clock stops while the host sleeps, and
 * the wall clock can be set back.
 */
export const isNotBefore = (moment: Moment, notBefore: Moment): boolean =>
  moment.monotonicMs >= notBefore.monotonicMs && moment.wallMs >= notBefore.wallMs;
