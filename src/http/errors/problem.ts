import type { ErrorCode, WorkerError } from '../../errors.js';
import type { ProblemView } from '../schemas/problem.js';

interface ProblemType {
  readonly status: number;
  readonly title: string;
  readonly retriable: boolean;
  /** When to try again, where the error itself does not say. */
  readonly retryAfterMs?: number;
}

/** What each error means in HTTP. The one place that says so. */
export const problemTypes: Readonly<Record<ErrorCode, ProblemType>> = {
  INVALID_PARAMS: { status: 400, title: 'The request is not valid', retriable: false },
  AUTH_FAILED: { status: 401, title: 'A valid bearer token is needed', retriable: false },
  FORBIDDEN: { status: 403, title: 'The token does not have this right', retriable: false },
  NOT_FOUND: { status: 404, title: 'There is no such thing', retriable: false },
  UPLOAD_TIMEOUT: { status: 408, title: 'The request stalled', retriable: true },
  SHARD_CONFLICT: { status: 409, title: 'A shard or a reservation stands against it', retriable: false },
  SHARD_BUSY: { status: 409, title: 'The shard is being received or released', retriable: true, retryAfterMs: 1000 },
  RESERVATION_EXPIRED: { status: 410, title: 'The reservation has expired', retriable: false },
  LENGTH_REQUIRED: { status: 411, title: 'The length of the shard is needed', retriable: false },
  MODEL_TOO_LARGE: { status: 413, title: 'The model is larger than this worker takes', retriable: false },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, title: 'The body is not of a kind this route takes', retriable: false },
  DIGEST_MISMATCH: { status: 422, title: 'The bytes do not have the expected digest', retriable: false },
  LENGTH_MISMATCH: { status: 422, title: 'The body does not have the declared length', retriable: false },
  SEAL_VERIFICATION_FAILED: { status: 422, title: 'The device does not hold the received bytes', retriable: false },
  POLICY_VIOLATION: { status: 422, title: 'The memory is not what a seal demands', retriable: false },
  RATE_LIMITED: { status: 429, title: 'Too many requests', retriable: true, retryAfterMs: 1000 },
  TOO_MANY_COMMITS: { status: 429, title: 'Too many commits wait already', retriable: true, retryAfterMs: 1000 },
  VRAM_OOM: { status: 507, title: 'Not enough GPU memory', retriable: true },
  HOST_OOM: { status: 500, title: 'Not enough host memory', retriable: false },
  CUDA_ERROR: { status: 500, title: 'The GPU driver reported an error', retriable: false },
  INTERNAL: { status: 500, title: 'Something went wrong inside the worker', retriable: false },
  STARTING: { status: 503, title: 'The worker is starting', retriable: true, retryAfterMs: 1000 },
  DRAINING: { status: 503, title: 'The worker is shutting down', retriable: true, retryAfterMs: 5000 },
  AUDIT_UNAVAILABLE: { status: 503, title: 'The audit log cannot be written', retriable: true, retryAfterMs: 5000 },
};

/**
 * The RFC 9457 body of an error. `requestId` names the request in the logs; a problem met before any request has none.
 */
export function problemOf(error: WorkerError, requestId?: string): ProblemView {
  const meaning = problemTypes[error.code];
  const retriable = error.retriable ?? meaning.retriable;
  const retryAfterMs = retriable ? (error.retryAfterMs ?? meaning.retryAfterMs) : undefined;
  return {
    type: typeOf(error.code),
    title: meaning.title,
    status: meaning.status,
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

/** The headers that go with a problem: when to come back (RFC 9110 §10.2.3), and how to prove who asks (RFC 6750). */
export function problemHeaders(problem: ProblemView): Record<string, string> {
  const waits = problem.status === 429 || problem.status === 503;
  return {
    'content-type': 'application/problem+json; charset=utf-8',
    ...(waits ? { 'retry-after': String(Math.ceil((problem.retry_after_ms ?? 1000) / 1000)) } : {}),
    ...(problem.status === 401 ? { 'www-authenticate': 'Bearer realm="vram-residency"' } : {}),
  };
}

const typeOf = (code: ErrorCode): string => `urn:vram-residency:problem:${code.toLowerCase().replaceAll('_', '-')}`;
