import type { ErrorCode, WorkerError } from '../../errors.js';
import type { ProblemJson } from '../schemas/problem.js';

interface ProblemType {
  readonly status: number;
  readonly title: string;
  readonly retriable: boolean;
  /** When to retry, unless the error has its own value. */
  readonly retryAfterMs?: number;
}

/** The HTTP status and title of each error code. No other file maps codes to HTTP. */
export const problemTypes: Readonly<Record<ErrorCode, ProblemType>> = {
  INVALID_PARAMS: { status: 400, title: 'Invalid request', retriable: false },
  AUTH_FAILED: { status: 401, title: 'Missing or invalid bearer token', retriable: false },
  FORBIDDEN: { status: 403, title: 'Insufficient token permissions', retriable: false },
  NOT_FOUND: { status: 404, title: 'Not found', retriable: false },
  UPLOAD_TIMEOUT: { status: 408, title: 'Request timed out', retriable: true },
  SHARD_CONFLICT: { status: 409, title: 'Conflicts with an existing shard or reservation', retriable: false },
  SHARD_BUSY: { status: 409, title: 'Shard is being received or released', retriable: true, retryAfterMs: 1000 },
  RESERVATION_EXPIRED: { status: 410, title: 'Reservation has expired', retriable: false },
  LENGTH_REQUIRED: { status: 411, title: 'Missing shard length', retriable: false },
  MODEL_TOO_LARGE: { status: 413, title: 'Model is too large for this worker', retriable: false },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, title: 'Unsupported media type', retriable: false },
  DIGEST_MISMATCH: { status: 422, title: 'Digest does not match', retriable: false },
  LENGTH_MISMATCH: { status: 422, title: 'Body length does not match', retriable: false },
  SEAL_VERIFICATION_FAILED: { status: 422, title: 'Seal verification failed', retriable: false },
  POLICY_VIOLATION: { status: 422, title: 'Memory violates the sealing policy', retriable: false },
  NOT_EXPORTABLE: { status: 422, title: 'Memory cannot be shared with other processes', retriable: false },
  RATE_LIMITED: { status: 429, title: 'Too many requests', retriable: true, retryAfterMs: 1000 },
  TOO_MANY_COMMITS: { status: 429, title: 'Too many waiting commits', retriable: true, retryAfterMs: 1000 },
  VRAM_OOM: { status: 507, title: 'Not enough GPU memory', retriable: true },
  HOST_OOM: { status: 500, title: 'Not enough host memory', retriable: false },
  CUDA_ERROR: { status: 500, title: 'GPU driver error', retriable: false },
  INTERNAL: { status: 500, title: 'Internal error', retriable: false },
  STARTING: { status: 503, title: 'Worker is starting', retriable: true, retryAfterMs: 1000 },
  DRAINING: { status: 503, title: 'Worker is shutting down', retriable: true, retryAfterMs: 5000 },
  AUDIT_UNAVAILABLE: {
    status: 503,
    title: 'Audit log or manifest cannot be written',
    retriable: true,
    retryAfterMs: 5000,
  },
  MODEL_DIR_UNAVAILABLE: { status: 503, title: 'Model directory cannot be read', retriable: true, retryAfterMs: 5000 },
};

/** The RFC 9457 body of an error. `requestId` is the id in the logs; errors of Node's HTTP parser have none. */
export function problemOf(error: WorkerError, requestId?: string): ProblemJson {
  const defaults = problemTypes[error.code];
  const retriable = error.retriable ?? defaults.retriable;
  const retryAfterMs = retriable ? (error.retryAfterMs ?? defaults.retryAfterMs) : undefined;
  return {
    type: typeOf(error.code),
    title: defaults.title,
    status: defaults.status,
    detail: error.message,
    instance: requestId === undefined ? 'about:blank' : `urn:uuid:${requestId}`,
    code: error.code,
    retriable,
    ...(retryAfterMs === undefined ? {} : { retry_after_ms: Math.max(1, Math.ceil(retryAfterMs)) }),
    ...(error.sizes === undefined
      ? {}
      : { needed_bytes: error.sizes.neededBytes, available_bytes: error.sizes.availableBytes }),
  };
}

/** The headers of a problem: `Retry-After` (RFC 9110 §10.2.3) and `WWW-Authenticate` (RFC 6750). */
export function problemHeaders(problem: ProblemJson): Record<string, string> {
  const hasRetryAfter = problem.status === 429 || problem.status === 503;
  return {
    'content-type': 'application/problem+json; charset=utf-8',
    ...(hasRetryAfter ? { 'retry-after': String(Math.ceil((problem.retry_after_ms ?? 1000) / 1000)) } : {}),
    ...(problem.status === 401 ? { 'www-authenticate': 'Bearer realm="vram-residency"' } : {}),
  };
}

const typeOf = (code: ErrorCode): string => `urn:vram-residency:problem:${code.toLowerCase().replaceAll('_', '-')}`;
