import type { ErrorCode } from '../../errors.js';

/** Receives the outcome of each operation, for metrics. Sizes in bytes, durations in seconds. */
export interface ResidencyObserver {
  committed(outcome: ErrorCode | 'ok', bytes: number, seconds: number): void;
  verified(outcome: ErrorCode | 'ok', bytes: number, seconds: number): void;
  repaired(outcome: ErrorCode | 'ok'): void;
  attached(seconds: number): void;
  attachRefused(code: string): void;
  readopted(): void;
}

/** Ignores every outcome. */
export const silentObserver: ResidencyObserver = {
  committed: () => undefined,
  verified: () => undefined,
  repaired: () => undefined,
  attached: () => undefined,
  attachRefused: () => undefined,
  readopted: () => undefined,
};
