/** Every event type of the audit log. */
export type AuditEvent =
  | 'WorkerStarted'
  | 'WorkerStopped'
  | 'VramAllocated'
  | 'VramSealed'
  | 'VramDeallocated'
  /** The effect of an earlier entry, named in `aborted`, did not happen. */
  | 'EffectAborted'
  | 'SealVerified'
  | 'SealVerificationFailed'
  | 'PolicyViolation'
  | 'RepairStarted'
  | 'RepairFailed'
  | 'ScrubPaused'
  | 'ScrubResumed'
  | 'ShardLost'
  | 'ShardForgotten'
  /** The memory can be in other processes from now on. */
  | 'ShardExported'
  | 'LeaseGranted'
  | 'LeaseEnded'
  /** An operator closed the connection of a lease for good. */
  | 'LeaseRevoked'
  | 'LeaseRefused'
  /** A release waits until the last process with the memory has ended. */
  | 'ReleaseForced'
  /** The worker gave up memory without a wipe, because other processes have it. */
  | 'ShardLeft'
  /** The memory of an earlier worker was found again, and its bytes were proven. */
  | 'ShardReadopted'
  /** The memory of an earlier worker was not there, or was refused, or was damaged beyond repair. */
  | 'ReadoptionFailed'
  /** The keeper had memory that no shard of the manifest has. It was not wiped. */
  | 'KeptMemoryDropped'
  /** A pull of a whole model ended. Its shards have entries of their own. */
  | 'PullEnded'
  | 'SealKeyRotated'
  | 'TokenReplaced'
  | 'AuthFailed'
  /** The log continues after a torn line or after an outage. */
  | 'AuditRecovered'
  /** A signed statement of the number and hash of the previous entry. */
  | 'AuditCheckpoint';

export type AuditSeverity = 'info' | 'warning' | 'critical';

/** The fields of an entry beyond the common ones, named as in the log. */
export type AuditFields = Readonly<Record<string, unknown>>;
