import { type ErrorCode, outcomeOf, WorkerError } from '../../errors.js';
import type { SourceReference } from '../../sources/reference.js';
import type { Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';
import { repairShard } from './repair.js';

/** Delays after failed repairs of one shard. After the last, the shard stays corrupt: its memory may be defective. */
const defaultBackoffMs = [1000, 5000, 25_000];

/** How many shards are repaired concurrently. Many damaged shards must not take all threads. */
const repairSlots = 2;

/** The status of a shard that was just found damaged. */
export const repairStatusOf = ({ source }: Shard): string =>
  source === undefined
    ? 'the worker has no source to repair it from; release it, then commit it again'
    : 'its repair is in progress';

/** Failures that say nothing about the memory. Such a repair is retried without limit. */
const notAboutMemory: readonly (ErrorCode | 'ok')[] = [
  'AUDIT_UNAVAILABLE',
  'MODEL_DIR_UNAVAILABLE',
  'SOURCE_UNAVAILABLE',
  'SOURCE_TIMEOUT',
  'SOURCE_AUTH_FAILED',
];

/** Repairs corrupt shards in the background if they came from a source, and gives up on those that stay corrupt. */
export class RepairQueue {
  readonly #worker: WorkerState;
  readonly #backoffMs: readonly number[];
  readonly #failures = new WeakMap<Shard, number>();
  readonly #waiting = new Set<Shard>();
  #running = 0;

  constructor(worker: WorkerState) {
    this.#worker = worker;
    this.#backoffMs = worker.options.repairBackoffMs ?? defaultBackoffMs;
  }

  /** Starts or queues the repair of a corrupt shard, and returns immediately. Failed repairs are retried a few times. */
  offer(shard: Shard): void {
    const { source, state } = shard;
    if (source === undefined || state !== 'corrupt' || this.#worker.lifecycle.isEnding) return;
    // A verification in progress offers the shard again when it ends.
    if (shard.repair !== undefined || shard.verification !== undefined) return;
    if (this.#running === repairSlots) return void this.#waiting.add(shard);
    this.#running++;
    shard.repair = this.#attempt(shard, source).finally(() => {
      shard.repair = undefined;
      this.#running--;
      this.#next();
    });
  }

  /** Fills the free slots. Most of many thousand shards may no longer need a repair. */
  #next(): void {
    for (const shard of this.#waiting) {
      if (this.#running === repairSlots) return;
      this.#waiting.delete(shard);
      this.offer(shard);
    }
  }

  async #attempt(shard: Shard, source: SourceReference): Promise<void> {
    let failure: unknown;
    try {
      await repairShard(shard, source, this.#worker);
      this.#failures.delete(shard);
    } catch (error) {
      failure = this.#worker.driverHealth.report(error);
      this.#handleFailure(shard, error);
    }
    this.#worker.observer.repaired(outcomeOf(failure));
  }

  #handleFailure(shard: Shard, error: unknown): void {
    if (shard.state !== 'corrupt') return;
    const why = error instanceof WorkerError ? error.message : 'Internal error';
    const code = outcomeOf(error);
    const isAboutMemory = !notAboutMemory.includes(code);
    const failures = (this.#failures.get(shard) ?? 0) + (isAboutMemory ? 1 : 0);
    const delayMs = isAboutMemory
      ? this.#backoffMs[failures - 1]
      : this.#backoffMs.at(code === 'AUDIT_UNAVAILABLE' ? 0 : -1);
    this.#failures.set(shard, failures);
    const status =
      delayMs === undefined
        ? `${failures} repairs failed (${why}): release it and commit it again`
        : `its repair failed (${why}) and will be retried`;
    shard.setRepairStatus(status);
    const entry = { event: 'RepairFailed', severity: 'critical', fields: { detail: why, failures } } as const;
    void this.#worker.shardAudit.appendBestEffort(entry, shard);
    this.#worker.lifecycle.bumpRevision();
    if (delayMs !== undefined) setTimeout(() => this.offer(shard), delayMs).unref();
  }
}
