/**
 * The closed set of error codes that clients see. Every layer throws these deliberately and no other errors.
 * `http/errors/problem.ts` maps them to HTTP.
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
  'NOT_EXPORTABLE',
  'RATE_LIMITED',
  'TOO_MANY_COMMITS',
  'VRAM_OOM',
  'HOST_OOM',
  'CUDA_ERROR',
  'INTERNAL',
  'STARTING',
  'DRAINING',
  'AUDIT_UNAVAILABLE',
  'MODEL_DIR_UNAVAILABLE',
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** The requested and the available memory. */
export interface ErrorSizes {
  readonly neededBytes: number;
  readonly availableBytes: number;
}

export interface WorkerErrorOptions {
  readonly cause?: unknown;
  readonly sizes?: ErrorSizes;
  /** How long the client should wait before it retries. */
  readonly retryAfterMs?: number;
  /** Whether the same request can succeed later. The code decides by default. */
  readonly retriable?: boolean;
}

/** An error with a code. Clients see `message`: it must not hold a secret, a pointer or a host path. */
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

/** The outcome of an operation, as metrics and audit entries name it: `ok`, or the code of the error. */
export function outcomeOf(error: unknown): ErrorCode | 'ok' {
  if (error === undefined) return 'ok';
  return error instanceof WorkerError ? error.code : 'INTERNAL';
}
