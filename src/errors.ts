/**
 * The closed set of error codes that clients see. Every layer throws these deliberately and no other errors.
 * `http/errors/problem.ts` maps them to HTTP.
 */
export const errorCodes = [
  'INVALID_PARAMS',
  'UNSUPPORTED_VERSION',
  'AUTH_FAILED',
  'FORBIDDEN',
  'SOURCE_FORBIDDEN',
  'NOT_FOUND',
  'SOURCE_NOT_FOUND',
  'UPLOAD_TIMEOUT',
  'UPLOAD_OFFSET',
  'SHARD_CONFLICT',
  'SHARD_BUSY',
  'SHARD_LEASED',
  'PULL_CONFLICT',
  'PULL_CANCELLED',
  'SOURCE_CHANGED',
  'DEVICE_MISMATCH',
  'RESERVATION_EXPIRED',
  'UPLOAD_EXPIRED',
  'STALE_ALLOCATION',
  'LENGTH_REQUIRED',
  'TUS_VERSION_UNSUPPORTED',
  'MODEL_TOO_LARGE',
  'UNSUPPORTED_MEDIA_TYPE',
  'DIGEST_MISMATCH',
  'LENGTH_MISMATCH',
  'SEAL_VERIFICATION_FAILED',
  'POLICY_VIOLATION',
  'NOT_EXPORTABLE',
  'FORMAT_INVALID',
  'SOURCE_UNSUPPORTED',
  'SOURCE_AUTH_FAILED',
  'RATE_LIMITED',
  'TOO_MANY_COMMITS',
  'TOO_MANY_PULLS',
  'VRAM_OOM',
  'HOST_OOM',
  'CUDA_ERROR',
  'INTERNAL',
  'SOURCE_UNAVAILABLE',
  'SOURCE_INVALID',
  'STARTING',
  'DRAINING',
  'AUDIT_UNAVAILABLE',
  'MODEL_DIR_UNAVAILABLE',
  'KEEPER_UNAVAILABLE',
  'SOURCE_TIMEOUT',
  'KEEPER_FULL',
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** When a client should retry an error: the delay in milliseconds, null if it retries when something has changed. */
const retryDelays: Partial<Record<ErrorCode, number | null>> = {
  UPLOAD_TIMEOUT: null,
  SHARD_BUSY: 1000,
  SHARD_LEASED: 1000,
  SOURCE_CHANGED: 1000,
  RATE_LIMITED: 1000,
  TOO_MANY_COMMITS: 1000,
  TOO_MANY_PULLS: 5000,
  VRAM_OOM: null,
  SOURCE_UNAVAILABLE: 5000,
  STARTING: 1000,
  DRAINING: 5000,
  AUDIT_UNAVAILABLE: 5000,
  MODEL_DIR_UNAVAILABLE: 5000,
  KEEPER_UNAVAILABLE: 5000,
};

/** The requested and the available memory. */
export interface ErrorSizes {
  readonly neededBytes: number;
  readonly availableBytes: number;
}

/** The rule of a file format that a file breaks, and the offset in the file. docs/formats.md lists the rules. */
export interface ErrorFormat {
  readonly rule: string;
  /** The file's name in its source. */
  readonly file: string;
  readonly at: number;
}

export interface WorkerErrorOptions {
  readonly cause?: unknown;
  readonly sizes?: ErrorSizes;
  /** How long the client should wait before it retries. */
  readonly retryAfterMs?: number;
  /** Whether the same request can succeed later. The code decides by default. */
  readonly retriable?: boolean;
  /** The leases that are in the way. */
  readonly leaseIds?: readonly string[];
  readonly format?: ErrorFormat;
}

/** An error with a code. Clients see `message`: it must not hold a secret, a pointer or a host path. */
export class WorkerError extends Error {
  readonly code: ErrorCode;
  readonly sizes: ErrorSizes | undefined;
  readonly retryAfterMs: number | undefined;
  readonly retriable: boolean | undefined;
  readonly leaseIds: readonly string[] | undefined;
  readonly format: ErrorFormat | undefined;

  constructor(code: ErrorCode, message: string, options: WorkerErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'WorkerError';
    this.code = code;
    this.sizes = options.sizes;
    this.retryAfterMs = options.retryAfterMs;
    this.retriable = options.retriable;
    this.leaseIds = options.leaseIds;
    this.format = options.format;
  }
}

/** The text of INTERNAL. */
export const internalMessage = 'The worker failed: see its log';

/** Whether the same request can succeed later, and after how many milliseconds; undefined if that is unknown. */
export interface Retry {
  readonly retriable: boolean;
  readonly afterMs: number | undefined;
}

/** The values of the error, or the defaults of its code. */
export function retryOf({ code, retriable, retryAfterMs }: WorkerError): Retry {
  const delay = retryDelays[code];
  const mayRetry = retriable ?? delay !== undefined;
  return { retriable: mayRetry, afterMs: mayRetry ? (retryAfterMs ?? delay ?? undefined) : undefined };
}

/** The outcome of an operation, as metrics and audit entries name it: `ok`, or the code of the error. */
export function outcomeOf(error: unknown): ErrorCode | 'ok' {
  if (error === undefined) return 'ok';
  return error instanceof WorkerError ? error.code : 'INTERNAL';
}

/** What clients see of a failure that is not theirs. `cause` goes to the log. */
export const internalError = (cause: unknown): WorkerError => new WorkerError('INTERNAL', internalMessage, { cause });

/** The text of an error, whatever was thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The code of an error of Node, such as `ENOENT`. Its text, if it has none. */
export const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error ? String(error.code) : messageOf(error);
