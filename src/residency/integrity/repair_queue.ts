import { WorkerError } from '../../errors.js';
import { outcomeOf } from '../commit/admission.js';
import type { FileSource, Shard } from '../state/shard.js';
import type { ResidencyObserver } from '../state/signer.js';
import type { WorkerState } from '../state/worker_state.js';
import { repairShard } from './repair.js';

/** Waits after failed repairs of one shard. When they are used up the shard stays corrupt: its hardware may be bad. */
const defaultBackoffMs = [1000, 5000, 25_000];

/** Shards that are repaired at one time: a device that loses many at once leaves threads to others. */
const repairSlots = 2;

/** Repairs corrupt shards in the background, where they came by reference, and gives up on those that stay corrupt. */
export class RepairQueue {
  readonly #inventory: WorkerState;
  readonly #observer: () => ResidencyObserver;
  readonly #backoffMs: readonly number[];
  readonly #failures = new WeakMap<Shard, number>();
  readonly #waiting = new Set<Shard>();
  #running = 0;

  constructor(inventory: WorkerState, observer: () => ResidencyObserver) {
    this.#inventory = inventory;
    this.#observer = observer;
    this.#backoffMs = inventory.options.repairBackoffMs ?? defaultBackoffMs;
  }

  /** What becomes of a shard that was found damaged. */
  repairStatus(record: Shard): string {
    if (record.source === undefined) return 'it came as an upload: release it, and commit it again';
    return 'it is being repaired from its file';
  }

  /** Repairs a corrupt shard now if that can be tried; returns at once. Tries again by itself, a few times. */
  offer(record: Shard): void {
    const { source, phase } = record;
    const { state } = this.#inventory;
    if (source === undefined || phase.state !== 'corrupt' || state === 'draining' || state === 'stopped') return;
    // A verification under way offers the shard once more when it has ended.
    if (record.repair !== undefined || record.verification !== undefined) return;
    if (this.#running === repairSlots) return void this.#waiting.add(record);
    this.#running++;
    record.repair = this.#attempt(record, source).finally(() => {
      record.repair = undefined;
      this.#running--;
      this.#next();
    });
  }

  #next(): void {
    const [record] = this.#waiting;
    if (record === undefined) return;
    this.#waiting.delete(record);
    this.offer(record);
    // One that needs no repair any more leaves its place to the next.
    if (record.repair === undefined) this.#next();
  }

  async #attempt(record: Shard, source: FileSource): Promise<void> {
    let failure: unknown;
    try {
      await repairShard(record, source, this.#inventory);
      this.#failures.delete(record);
    } catch (error) {
      failure = this.#inventory.reportDriverError(error);
      this.#failed(record, error);
    }
    this.#observer().repaired(outcomeOf(failure));
  }

  #failed(record: Shard, error: unknown): void {
    if (record.phase.state !== 'corrupt') return;
    const why = error instanceof WorkerError ? error.message : 'an internal error';
    const unwritten = error instanceof WorkerError && error.code === 'AUDIT_UNAVAILABLE';
    // A log that can't be written says nothing of the memory: it is waited for, for as long as it takes.
    const failures = (this.#failures.get(record) ?? 0) + (unwritten ? 0 : 1);
    const delayMs = this.#backoffMs[unwritten ? 0 : failures - 1];
    this.#failures.set(record, failures);
    const next = delayMs === undefined ? `and is given up after ${failures} times: release it` : 'and is tried again';
    record.phase = { ...record.phase, repairStatus: `its repair failed (${why}), ${next}` };
    this.#inventory.appendBestEffort('RepairFailed', 'critical', record, { detail: why, failures });
    this.#inventory.bumpRevision();
    if (delayMs !== undefined) setTimeout(() => this.offer(record), delayMs).unref();
  }
}
