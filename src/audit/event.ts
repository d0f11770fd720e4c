/** Everything that the audit log tells of. */
export type AuditEvent =
  | 'WorkerStarted'
  | 'WorkerStopped'
  | 'VramAllocated'
  | 'VramSealed'
  | 'VramDeallocated'
  | 'SealVerified'
  | 'SealVerificationFailed'
  | 'PolicyViolation'
  | 'RepairStarted'
  | 'RepairFailed'
  | 'ScrubPaused'
  | 'ScrubResumed'
  | 'ShardLost'
  | 'ShardForgotten'
  | 'SealKeyRotated'
  | 'TokenReplaced'
  | 'AuthFailed'
  /** The log goes on after a crash in mid-line, or after a time when it could not be written. */
  | 'AuditRecovered'
  /** A signed statement of where the chain stands. */
  | 'AuditCheckpoint';

export type AuditSeverity = 'info' | 'warning' | 'critical';

/** What else an entry says, in the names that stand in the log. */
export type AuditFields = Readonly<Record<string, unknown>>;
