import type { Moment } from '../../vram/moment.js';
import type { VerifyReport } from './verify_report.js';

/** A verification in progress. */
export interface RunningVerification {
  /** No byte was read before this moment. */
  readonly startedAt: Moment;
  /** The scrubber started it, so no caller waits for it. */
  readonly isBackground: boolean;
  readonly report: Promise<VerifyReport>;
  /** Ends a background verification at its next slice. Other verifications continue. */
  cancel(): void;
}

/** A verification that callers wait for and that has not begun. */
export interface NextVerification {
  readonly report: Promise<VerifyReport>;
  /** Begins as soon as nothing is in the way. Idempotent. */
  begin(): void;
}
