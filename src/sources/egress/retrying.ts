import { AbortScope } from './abort_scope.js';
import { sleep } from './clock.js';
import type { EgressEnvironment } from './environment.js';
import { SourceFault } from './fault.js';
import type { TransferOptions } from './request.js';
import { RetryPolicy } from './retry_policy.js';

/** One attempt. It adds the bytes that it brings to `bytes`, which decides about the next attempt. */
export interface Attempt {
  readonly signal: AbortSignal;
  bytes: number;
}

/**
 * Runs attempts until one succeeds, as the retry policy allows, within the time limit of the transfer.
 * @throws the fault of the last attempt, SOURCE_TIMEOUT at the deadline, or the reason of the signal
 */
export async function retrying<T>(
  environment: EgressEnvironment,
  options: TransferOptions,
  run: (attempt: Attempt) => Promise<T>,
): Promise<T> {
  const scope = new AbortScope(options.signal);
  const { timeoutMs } = options;
  if (timeoutMs !== undefined) {
    const seconds = Math.round(timeoutMs / 1000);
    const late = () => new SourceFault('SOURCE_TIMEOUT', `The transfer did not end within ${seconds} s`);
    scope.abortAfter(environment.clock, timeoutMs, late);
  }
  try {
    return await attempts(environment, { ...options, signal: scope.signal }, run);
  } finally {
    scope.dispose();
  }
}

async function attempts<T>(
  { clock, random }: EgressEnvironment,
  { signal, timeoutMs = Number.POSITIVE_INFINITY, reconnects, onRetry }: TransferOptions,
  run: (attempt: Attempt) => Promise<T>,
): Promise<T> {
  const policy = new RetryPolicy(random, reconnects);
  const endsAtMs = clock.monotonicMs() + timeoutMs;
  for (let number = 1; ; number += 1) {
    const attempt: Attempt = { signal, bytes: 0 };
    try {
      signal.throwIfAborted();
      return await run(attempt);
    } catch (error) {
      signal.throwIfAborted();
      const fault = error instanceof SourceFault ? error : undefined;
      if (fault === undefined) throw error;
      const nowMs = clock.monotonicMs();
      const { rule, waitMs: requestedMs } = fault;
      const decision = policy.next({ rule, bytes: attempt.bytes, requestedMs, nowMs });
      if (decision.kind === 'stop') throw fault;
      // The source asks for more time than is left, so the client hears of it now.
      if (nowMs + decision.waitMs >= endsAtMs) throw fault;
      onRetry?.({ attempt: number, waitMs: decision.waitMs, error: fault });
      await sleep(clock, decision.waitMs, signal);
      await fault.prepare?.(signal);
    }
  }
}
