import { type ErrorCode, WorkerError } from '../../errors.js';
import { problemOf, problemTypes } from '../errors/problem.js';
import { Problem } from '../schemas/problem.js';
import { refTo } from '../schemas/ref.js';

const requestId = '6f1c2d3e-4a5b-4c6d-8e7f-901234567890';
const retryAfter = { 'Retry-After': { type: 'integer', description: 'Seconds to wait before a retry.' } };
const sizes = { neededBytes: 16062087168, availableBytes: 8589934592 };

/** The error responses of a route, by status, with an example for each code. */
export function problemResponses(codes: readonly ErrorCode[]): Record<string, object> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of new Set(codes)) {
    const { status } = problemTypes[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return Object.fromEntries([...byStatus].map(([status, group]) => [String(status), responseOf(status, group)]));
}

function responseOf(status: number, codes: readonly ErrorCode[]): object {
  const headers = {
    ...(status === 401 ? { 'WWW-Authenticate': { type: 'string', description: 'Bearer' } } : {}),
    ...(status === 429 || status === 503 ? retryAfter : {}),
  };
  return {
    description: codes.map((code) => `\`${code}\`: ${problemTypes[code].title}.`).join(' '),
    ...(Object.keys(headers).length === 0 ? {} : { headers }),
    content: {
      'application/problem+json': {
        schema: refTo(Problem),
        examples: Object.fromEntries(codes.map((code) => [code, { value: exampleOf(code) }])),
      },
    },
  };
}

const exampleOf = (code: ErrorCode) =>
  problemOf(new WorkerError(code, `${problemTypes[code].title}.`, code === 'VRAM_OOM' ? { sizes } : {}), requestId);
