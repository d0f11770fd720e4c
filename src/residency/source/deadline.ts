import { WorkerError } from '../../errors.js';
import { AbortScope } from '../../sources/egress/abort_scope.js';
import { systemClock } from '../../sources/egress/clock.js';
import type { TransferOptions } from '../../sources/egress/request.js';

/** Longer than the delay of a timer, so that the deadline of the operation ends a transfer before its own one does. */
const slackMs = 100;

/** The time limit of an operation with sources, with all its waits. Ends it with SOURCE_TIMEOUT. */
export class Deadline {
  readonly #scope: AbortScope;
  readonly #endsAtMs: number;

  /** Counts from now. `signal` ends the operation earlier. */
  constructor(what: 'transfer' | 'pull', ms: number, signal?: AbortSignal) {
    const seconds = Math.round(ms / 1000);
    this.#endsAtMs = systemClock.monotonicMs() + ms;
    this.#scope = new AbortScope(signal);
    const late = () => new WorkerError('SOURCE_TIMEOUT', `The ${what} did not end within ${seconds} s`);
    this.#scope.abortAfter(systemClock, ms, late);
  }

  get signal(): AbortSignal {
    return this.#scope.signal;
  }

  /** For the transfers of the operation. */
  get options(): TransferOptions {
    return { signal: this.signal, timeoutMs: Math.max(0, this.#endsAtMs - systemClock.monotonicMs()) + slackMs };
  }

  /** Ends the operation. */
  abort(reason: unknown): void {
    this.#scope.abort(reason);
  }

  /** The operation has ended. */
  dispose(): void {
    this.#scope.dispose();
  }
}

/** Runs work that must end within `ms`. @throws SOURCE_TIMEOUT, the reason of the signal, and what `work` throws */
export async function withDeadline<T>(
  signal: AbortSignal | undefined,
  ms: number,
  work: (options: TransferOptions) => Promise<T>,
): Promise<T> {
  const deadline = new Deadline('transfer', ms, signal);
  try {
    deadline.signal.throwIfAborted();
    return await work(deadline.options);
  } finally {
    deadline.dispose();
  }
}
