import { ExitError } from '../../process/exit_status.js';
import { safeText } from '../terminal/safe_text.js';
import { adviceFor } from './advice.js';
import type { Problem } from './problem.js';
import { clientStatus } from './status.js';

/** A request that the worker answered with a problem (RFC 9457). */
export class ProblemError extends ExitError {
  readonly problem: Problem;

  /** `hint` is a cause that the client knows, in place of the advice for the code. */
  constructor(problem: Problem, hint?: string) {
    super(statusOf(problem), problemText(problem, hint));
    this.problem = problem;
  }
}

/** One line: the code, the detail, and what to do. */
export function problemText(problem: Problem, hint?: string): string {
  const { code, detail, rule } = problem;
  const advice = hint ?? adviceFor(code);
  const sentence = detail.replace(/\.$/, '');
  const text = rule === undefined ? sentence : `${sentence} [rule ${rule}]`;
  return safeText(`${code}: ${text}${advice === undefined ? '' : `. ${advice}`}`);
}

/** The exit status of a command that the worker refused. */
export function statusOf({ code, retriable }: Pick<Problem, 'code' | 'retriable'>): number {
  if (code === 'AUTH_FAILED' || code === 'FORBIDDEN') return clientStatus.noPermission;
  return retriable ? clientStatus.temporary : clientStatus.failed;
}

/** The worker does not respond, or ended the connection. The same request can succeed later. */
export class UnreachableError extends ExitError {
  constructor(message: string, options?: ErrorOptions) {
    super(clientStatus.unreachable, safeText(message), options);
  }
}

/** The peer cannot be trusted, or is not a worker. */
export class PeerError extends ExitError {
  constructor(message: string, options?: ErrorOptions) {
    super(clientStatus.unreachable, safeText(message), options);
  }
}
