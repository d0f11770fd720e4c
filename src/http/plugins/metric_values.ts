import type { Counter } from 'prom-client';

/** The buckets of durations, in seconds. */
export const bucketsSeconds = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 1800];

/** Sets a counter whose value is kept elsewhere. */
export function setCounter(counter: Counter, value: number): void {
  counter.reset();
  counter.inc(value);
}
