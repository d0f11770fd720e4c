import { WorkerError } from '../../errors.js';
import { AbortScope } from '../../sources/egress/abort_scope.js';
import type { TransferOptions } from '../../sources/egress/request.js';
import type { Abortable } from '../state/abortable.js';

/** The parts of the worker that stop a lookup. */
export interface LookupOwner {
  readonly ingests: Set<Abortable>;
}

/**
 * Lookups of sources that run before memory is claimed: they resolve references and read headers. Their number has a
 * bound, and they end when the worker stops.
 */
export class Lookups {
  readonly #owner: LookupOwner;
  readonly #max: number;
  #running = 0;

  constructor(owner: LookupOwner, max: number) {
    this.#owner = owner;
    this.#max = max;
  }

  /** @throws WorkerError TOO_MANY_COMMITS, the reason of the signal, and the errors of `work` */
  async run<T>(options: TransferOptions, work: (options: TransferOptions) => Promise<T>): Promise<T> {
    if (this.#running >= this.#max)
      throw new WorkerError('TOO_MANY_COMMITS', 'Too many lookups of sources are running');
    const scope = new AbortScope(options.signal);
    const abort = async (reason: unknown) => scope.abort(reason);
    const running: Abortable = { abort, stop: abort };
    this.#owner.ingests.add(running);
    this.#running++;
    try {
      scope.signal.throwIfAborted();
      return await work({ ...options, signal: scope.signal });
    } finally {
      this.#running--;
      this.#owner.ingests.delete(running);
      scope.dispose();
    }
  }
}
