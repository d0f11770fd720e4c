/**
 * The closed set of things that can go wrong, as callers see them. Every floor throws these and nothing else on purpose;
 * what they mean in HTTP is decided in `http/problem.ts` alone.
 */
export const errorCodes = [
  'INVALID_PARAMS',
  'AUTH_FAILED',
  'FORBIDDEN',
  'NOT_FOUND',
  'UPLOAD_TIMEOUT',
  'SHARD_CONFLICT',
  'SHARD_BUSY',
  'RESERVATION_EXPIRED',
  'LENGTH_REQUIRED',
  'MODEL_TOO_LARGE',
  'UNSUPPORTED_MEDIA_TYPE',
  'DIGEST_MISMATCH',
  'LENGTH_MISMATCH',
  'SEAL_VERIFICATION_FAILED',
  'POLICY_VIOLATION',
  'RATE_LIMITED',
  'TOO_MANY_COMMITS',
  'VRAM_OOM',
  'HOST_OOM',
  'CUDA_ERROR',
  'INTERNAL',
  'STARTING',
  'DRAINING',
  'AUDIT_UNAVAILABLE',
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** Sizes that belong to an error: what was asked for, and what there is. */
export interface ErrorSizes {
  readonly neededBytes: number;
  readonly availableBytes: number;
}

export interface WorkerErrorOptions {
  readonly cause?: unknown;
  readonly sizes?: ErrorSizes;
  /** After how many milliseconds trying again may help. */
  readonly retryAfterMs?: number;
  /** Whether the same request can succeed later; by default what the code says. */
  readonly retriable?: boolean;
}

/** An error with a code of the closed set. `message` is shown to the client: no secret, no pointer, no host path. */
export class WorkerError extends Error {
  readonly code: ErrorCode;
  readonly sizes: ErrorSizes | undefined;
  readonly retryAfterMs: number | undefined;
  readonly retriable: boolean | undefined;

  constructor(code: ErrorCode, message: string, options: WorkerErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'WorkerError';
    this.code = code;
    this.sizes = options.sizes;
    this.retryAfterMs = options.retryAfterMs;
    this.retriable = options.retriable;
  }
}
