import type { components } from './api.js';

/** The body of an error: RFC 9457. */
export type Problem = components['schemas']['Problem'];
/** A code of the worker, such as `SHARD_BUSY`. */
export type ErrorCode = Problem['code'];

/**
 * An error that the worker reported, or a response that is not the worker's. Failures of the network are the errors of
 * `fetch`.
 */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** For programs. `UNEXPECTED_RESPONSE`: the response has no problem, so it came from a proxy or another server. */
  readonly code: ErrorCode | 'UNEXPECTED_RESPONSE';
  /** HTTP status. */
  readonly status: number;
  /** Whether the same request can succeed later. */
  readonly retriable: boolean;
  /** How long to wait before a retry, in milliseconds. */
  readonly retryAfterMs: number | undefined;
  /** The whole problem, with fields such as `needed_bytes` and `lease_ids`. */
  readonly problem: Problem | undefined;

  constructor(status: number, problem: Problem | undefined) {
    super(
      problem === undefined
        ? `HTTP status ${status} without a problem`
        : `${problem.code} (${status}): ${problem.detail}`,
    );
    this.code = problem?.code ?? 'UNEXPECTED_RESPONSE';
    this.status = status;
    this.retriable = problem?.retriable ?? false;
    this.retryAfterMs = problem?.retry_after_ms;
    this.problem = problem;
  }
}

/** The error of a response, from its parsed body. */
export function errorOf(response: Response, body: unknown): ApiError {
  return new ApiError(response.status, isProblem(response, body) ? body : undefined);
}

function isProblem(response: Response, body: unknown): body is Problem {
  const type = response.headers.get('content-type') ?? '';
  if (!type.startsWith('application/problem+json') || typeof body !== 'object' || body === null) return false;
  return 'code' in body && typeof body.code === 'string' && 'detail' in body && 'retriable' in body;
}
