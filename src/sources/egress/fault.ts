import { type ErrorCode, WorkerError } from '../../errors.js';

/**
 * - `never`: the same request would fail again.
 * - `backoff`: the next attempt can succeed, after a wait.
 * - `once`: one more attempt can succeed, with other credentials.
 */
export type RetryRule = 'never' | 'backoff' | 'once';

interface FaultOptions {
  readonly rule?: RetryRule;
  readonly waitMs?: number;
  readonly prepare?: (signal: AbortSignal) => Promise<void>;
  readonly cause?: unknown;
}

/** A failure of a remote source. Its message never repeats a header or a body of the source. */
export class SourceFault extends WorkerError {
  readonly rule: RetryRule;
  /** How long the source asks the worker to wait. */
  readonly waitMs: number | undefined;
  /** Runs before the next attempt, for example to renew credentials. */
  readonly prepare: ((signal: AbortSignal) => Promise<void>) | undefined;

  constructor(code: ErrorCode, message: string, options: FaultOptions = {}) {
    const { rule = 'never', waitMs, prepare, cause } = options;
    super(code, message, { cause, ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }) });
    this.rule = rule;
    this.waitMs = waitMs;
    this.prepare = prepare;
  }
}

/** The settings of the source do not allow the request. */
export const forbidden = (message: string): SourceFault => new SourceFault('SOURCE_FORBIDDEN', message);

/** The source breaks its protocol. */
export const invalid = (message: string): SourceFault => new SourceFault('SOURCE_INVALID', message);

/** The object is no longer the one that the transfer began with. */
export const changed = (message: string): SourceFault => new SourceFault('SOURCE_CHANGED', message);

export const timedOut = (message: string): SourceFault =>
  new SourceFault('SOURCE_TIMEOUT', message, { rule: 'backoff' });

export const unavailable = (message: string, cause?: unknown): SourceFault =>
  new SourceFault('SOURCE_UNAVAILABLE', message, { rule: 'backoff', cause });

/** Names of TLS errors that say that a certificate, or the server itself, is not the expected one. */
const certificateCodes = /CERT|ALTNAME|ISSUER|SIGNATURE|HOSTNAME|^ERR_(?:SSL|TLS)_|^EPROTO$/;

/**
 * The fault behind an error of `node:net`, `node:tls`, `node:dns` or `node:http`. Shows its code, never its message. An
 * error of the HTTP parser holds bytes of the source, so it is no cause.
 */
export function faultOf(error: unknown): SourceFault | WorkerError {
  if (error instanceof WorkerError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  if (code === 'HPE_HEADER_OVERFLOW') return invalid('The source sent a response head of more than 16 KiB');
  if (code === 'HPE_INVALID_EOF_STATE') return unavailable('The source closed the connection early');
  if (code.startsWith('HPE_')) return invalid(`The source sent malformed HTTP: ${code}`);
  if (certificateCodes.test(code)) return invalid(`The TLS connection to the source failed: ${code}`);
  return unavailable(`The connection to the source failed: ${code}`, error);
}
