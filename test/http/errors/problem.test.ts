import t from 'tap';
import { type ErrorCode, errorCodes, WorkerError } from '../../../src/errors.js';
import { problemHeaders, problemOf, problemTypes } from '../../../src/http/errors/problem.js';

const contract: Record<ErrorCode, readonly [status: number, retriable: boolean]> = {
  INVALID_PARAMS: [400, false],
  UNSUPPORTED_VERSION: [400, false],
  AUTH_FAILED: [401, false],
  FORBIDDEN: [403, false],
  NOT_FOUND: [404, false],
  UPLOAD_TIMEOUT: [408, true],
  UPLOAD_OFFSET: [409, false],
  SHARD_CONFLICT: [409, false],
  SHARD_BUSY: [409, true],
  SHARD_LEASED: [409, true],
  DEVICE_MISMATCH: [409, false],
  RESERVATION_EXPIRED: [410, false],
  UPLOAD_EXPIRED: [410, false],
  STALE_ALLOCATION: [410, false],
  LENGTH_REQUIRED: [411, false],
  TUS_VERSION_UNSUPPORTED: [412, false],
  MODEL_TOO_LARGE: [413, false],
  UNSUPPORTED_MEDIA_TYPE: [415, false],
  DIGEST_MISMATCH: [422, false],
  LENGTH_MISMATCH: [422, false],
  SEAL_VERIFICATION_FAILED: [422, false],
  POLICY_VIOLATION: [422, false],
  NOT_EXPORTABLE: [422, false],
  RATE_LIMITED: [429, true],
  TOO_MANY_COMMITS: [429, true],
  TOO_MANY_PULLS: [429, true],
  VRAM_OOM: [507, true],
  HOST_OOM: [500, false],
  CUDA_ERROR: [500, false],
  INTERNAL: [500, false],
  STARTING: [503, true],
  DRAINING: [503, true],
  AUDIT_UNAVAILABLE: [503, true],
  MODEL_DIR_UNAVAILABLE: [503, true],
  KEEPER_UNAVAILABLE: [503, true],
  KEEPER_FULL: [507, false],
  SOURCE_FORBIDDEN: [403, false],
  SOURCE_NOT_FOUND: [404, false],
  PULL_CONFLICT: [409, false],
  PULL_CANCELLED: [409, false],
  SOURCE_CHANGED: [409, true],
  FORMAT_INVALID: [422, false],
  SOURCE_UNSUPPORTED: [422, false],
  SOURCE_AUTH_FAILED: [424, false],
  SOURCE_UNAVAILABLE: [502, true],
  SOURCE_INVALID: [502, false],
  SOURCE_TIMEOUT: [504, false],
};

t.test('every code has its status and its retriable flag', async (t) => {
  t.same(Object.keys(problemTypes).sort(), [...errorCodes].sort());
  for (const code of errorCodes) {
    const problem = problemOf(new WorkerError(code, 'why'), '6f1c2d3e-4a5b-4c6d-8e7f-901234567890');
    t.same([problem.status, problem.retriable], contract[code], code);
    t.match(problem, { code, detail: 'why', instance: 'urn:uuid:6f1c2d3e-4a5b-4c6d-8e7f-901234567890' });
    t.match(problem.type, /^urn:vram-residency:problem:[a-z-]+$/);
  }
});

t.test('a problem has the retry delay and the sizes of its error', async (t) => {
  const busy = problemOf(new WorkerError('TOO_MANY_COMMITS', 'full', { retryAfterMs: 1500.5 }));
  t.equal(busy.retry_after_ms, 1501);
  t.equal(problemHeaders(busy)['retry-after'], '2', 'rounded up to seconds');
  const full = problemOf(new WorkerError('VRAM_OOM', 'full', { sizes: { neededBytes: 2, availableBytes: 1 } }));
  t.match(full, { needed_bytes: 2, available_bytes: 1 });
  const leased = problemOf(new WorkerError('SHARD_LEASED', 'in use', { leaseIds: ['a'] }));
  t.match(leased, { retry_after_ms: 1000, lease_ids: ['a'] });
  const format = { rule: 'truncated', file: 'a.gguf', at: 7 };
  t.match(problemOf(new WorkerError('FORMAT_INVALID', 'short', { format })), format);
  const lost = problemOf(new WorkerError('CUDA_ERROR', 'lost', { retriable: true, retryAfterMs: 7 }));
  t.match(lost, { retriable: true, retry_after_ms: 7 }, 'the error overrides the defaults of its code');
  const hopeless = problemOf(new WorkerError('DRAINING', 'gone', { retriable: false }));
  t.equal(hopeless.retry_after_ms, undefined);
});

t.test('each status has its headers', async (t) => {
  const headersOf = (code: ErrorCode) => problemHeaders(problemOf(new WorkerError(code, 'why')));
  t.match(headersOf('AUTH_FAILED'), { 'www-authenticate': /^Bearer/ });
  for (const code of errorCodes) {
    const waits = [429, 503].includes(contract[code][0]);
    t.equal('retry-after' in headersOf(code), waits, `${code} ${waits ? 'has' : 'has no'} Retry-After`);
    t.match(headersOf(code)['content-type'], /^application\/problem\+json/);
  }
});
