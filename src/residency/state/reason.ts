import type { ErrorCode } from '../../errors.js';

/** One reason why the worker, or a model, is not ready. */
export interface Reason {
  readonly code:
    | ErrorCode
    | 'NO_MODEL_READY'
    | 'MODEL_NOT_RESIDENT'
    | 'SHARD_CORRUPT'
    | 'SHARD_LOST'
    | 'VERIFICATION_FAILED'
    | 'LOADING'
    | 'STOPPED';
  readonly detail: string;
}
