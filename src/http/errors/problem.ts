import { type ErrorCode, retryOf, type WorkerError } from '../../errors.js';
import type { ProblemJson } from '../schemas/problem.js';

interface ProblemType {
  readonly status: number;
  readonly title: string;
}

/** The HTTP status and title of each error code. No other file maps codes to HTTP. */
export const problemTypes: Readonly<Record<ErrorCode, ProblemType>> = {
  INVALID_PARAMS: { status: 400, title: 'Invalid request' },
  UNSUPPORTED_VERSION: { status: 400, title: 'Unsupported protocol version' },
  AUTH_FAILED: { status: 401, title: 'Missing or invalid bearer token' },
  FORBIDDEN: { status: 403, title: 'Insufficient token permissions' },
  SOURCE_FORBIDDEN: { status: 403, title: 'Source is not allowed' },
  NOT_FOUND: { status: 404, title: 'Not found' },
  SOURCE_NOT_FOUND: { status: 404, title: 'Not found at the source' },
  UPLOAD_TIMEOUT: { status: 408, title: 'Request timed out' },
  UPLOAD_OFFSET: { status: 409, title: 'Upload continues at another offset' },
  SHARD_CONFLICT: { status: 409, title: 'Conflicts with an existing shard or reservation' },
  SHARD_BUSY: { status: 409, title: 'Shard is being received or released' },
  SHARD_LEASED: { status: 409, title: 'Shard is attached to other processes' },
  PULL_CONFLICT: { status: 409, title: 'Conflicts with an existing pull' },
  PULL_CANCELLED: { status: 409, title: 'Pull was canceled' },
  SOURCE_CHANGED: { status: 409, title: 'Source changed while it was read' },
  DEVICE_MISMATCH: { status: 409, title: 'Shard is on another GPU' },
  RESERVATION_EXPIRED: { status: 410, title: 'Reservation has expired' },
  UPLOAD_EXPIRED: { status: 410, title: 'Upload has expired' },
  STALE_ALLOCATION: { status: 410, title: 'Worker no longer has this memory' },
  LENGTH_REQUIRED: { status: 411, title: 'Missing shard length' },
  TUS_VERSION_UNSUPPORTED: { status: 412, title: 'Unsupported version of tus' },
  MODEL_TOO_LARGE: { status: 413, title: 'Model is too large for this worker' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, title: 'Unsupported media type' },
  DIGEST_MISMATCH: { status: 422, title: 'Digest does not match' },
  LENGTH_MISMATCH: { status: 422, title: 'Body length does not match' },
  SEAL_VERIFICATION_FAILED: { status: 422, title: 'Seal verification failed' },
  POLICY_VIOLATION: { status: 422, title: 'Memory violates the sealing policy' },
  NOT_EXPORTABLE: { status: 422, title: 'Memory cannot be shared with other processes' },
  FORMAT_INVALID: { status: 422, title: 'File breaks a rule of its format' },
  SOURCE_UNSUPPORTED: { status: 422, title: 'Source is not supported' },
  SOURCE_AUTH_FAILED: { status: 424, title: 'Source refused the credentials' },
  RATE_LIMITED: { status: 429, title: 'Too many requests' },
  TOO_MANY_COMMITS: { status: 429, title: 'Too many waiting commits' },
  TOO_MANY_PULLS: { status: 429, title: 'Too many waiting pulls' },
  VRAM_OOM: { status: 507, title: 'Not enough GPU memory' },
  HOST_OOM: { status: 500, title: 'Not enough host memory' },
  CUDA_ERROR: { status: 500, title: 'GPU driver error' },
  INTERNAL: { status: 500, title: 'Internal error' },
  SOURCE_UNAVAILABLE: { status: 502, title: 'Source is not available' },
  SOURCE_INVALID: { status: 502, title: 'Source sent an invalid response' },
  STARTING: { status: 503, title: 'Worker is starting' },
  DRAINING: { status: 503, title: 'Worker is shutting down' },
  AUDIT_UNAVAILABLE: { status: 503, title: 'Audit log or manifest is unavailable' },
  MODEL_DIR_UNAVAILABLE: { status: 503, title: 'Model directory cannot be read' },
  KEEPER_UNAVAILABLE: { status: 503, title: 'Keeper does not respond' },
  SOURCE_TIMEOUT: { status: 504, title: 'Source did not respond in time' },
  KEEPER_FULL: { status: 507, title: 'Keeper holds as much as it can' },
};

/** The RFC 9457 body of an error. `requestId` is the id in the logs; errors of Node's HTTP parser have none. */
export function problemOf(error: WorkerError, requestId?: string): ProblemJson {
  const defaults = problemTypes[error.code];
  const { retriable, afterMs } = retryOf(error);
  return {
    type: typeOf(error.code),
    title: defaults.title,
    status: defaults.status,
    detail: error.message,
    instance: requestId === undefined ? 'about:blank' : `urn:uuid:${requestId}`,
    code: error.code,
    retriable,
    ...(afterMs === undefined ? {} : { retry_after_ms: Math.max(1, Math.ceil(afterMs)) }),
    ...(error.sizes === undefined
      ? {}
      : { needed_bytes: error.sizes.neededBytes, available_bytes: error.sizes.availableBytes }),
    ...(error.leaseIds === undefined ? {} : { lease_ids: [...error.leaseIds] }),
    ...(error.format === undefined ? {} : { rule: error.format.rule, file: error.format.file, at: error.format.at }),
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
