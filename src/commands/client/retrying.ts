import { setTimeout as sleep } from 'node:timers/promises';
import { ProblemError, UnreachableError } from './client_error.js';
import type { Answer, WorkerClient, WorkerRequest } from './worker_client.js';

export interface RetryOptions {
  /** How long a worker that has answered once may be unreachable or refuse with 408, 429 or 503. */
  readonly retrySeconds: number;
  /** Ends waits and requests. */
  readonly signal: AbortSignal;
  /** Called before each wait. */
  readonly onRetry: (error: Error) => void;
}

const firstWaitMs = 500;
const maxWaitMs = 5000;

/** The waits between attempts, within a time limit that starts with the first failure after a success. */
export class Backoff {
  readonly #options: RetryOptions;
  #hasAnswered = false;
  #failures = 0;
  #failingSinceMs = 0;

  constructor(options: RetryOptions) {
    this.#options = options;
  }

  /** The worker made progress. */
  succeeded(): void {
    this.#hasAnswered = true;
    this.#failures = 0;
  }

  /** Waits before the next attempt. @throws the error, if it is final or the time is over */
  async wait(error: unknown): Promise<void> {
    if (error instanceof ProblemError) this.#hasAnswered = true;
    if (!(error instanceof Error) || !isTransient(error) || !this.#hasAnswered) throw error;
    const nowMs = performance.now();
    if (this.#failures === 0) this.#failingSinceMs = nowMs;
    const waitMs = this.#waitMs(error);
    if (nowMs + waitMs - this.#failingSinceMs > this.#options.retrySeconds * 1000) throw error;
    this.#failures += 1;
    this.#options.onRetry(error);
    await sleep(waitMs, undefined, { signal: this.#options.signal });
  }

  #waitMs(error: Error): number {
    const asked = error instanceof ProblemError ? (error.problem.retry_after_ms ?? 0) : 0;
    const growing = Math.min(maxWaitMs, firstWaitMs * 2 ** this.#failures);
    return Math.max(asked, growing * (0.5 + Math.random() / 2));
  }
}

/** Repeats a request that the worker may get twice. @throws as `WorkerClient.ask` */
export async function askRepeatedly(client: WorkerClient, request: WorkerRequest, backoff: Backoff): Promise<Answer> {
  for (;;) {
    try {
      const answer = await client.ask(request);
      backoff.succeeded();
      return answer;
    } catch (error) {
      await backoff.wait(error);
    }
  }
}

/** Whether the worker itself, not the request, is in the way. */
function isTransient(error: Error): boolean {
  if (error instanceof UnreachableError) return true;
  return error instanceof ProblemError && error.problem.retriable && [408, 429, 503].includes(error.problem.status);
}
