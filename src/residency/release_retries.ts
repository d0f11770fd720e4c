import { discard } from './discard.js';
import type { Shard } from './state/shard.js';
import type { WorkerState } from './state/worker_state.js';

/** Refusals of the driver in one tick, after which the other shards wait for the next one. */
const maxRefusals = 4;

/** Frees memory that the driver refused to free, so that it does not wait for a client. */
export class ReleaseRetries {
  readonly #worker: WorkerState;
  /** Shards to try before any is tried a second time. */
  #round: Shard[] = [];
  #isRunning = false;

  constructor(worker: WorkerState) {
    this.#worker = worker;
  }

  /** Called every second. Does nothing while an earlier call runs. Never rejects. */
  async tick(): Promise<void> {
    if (this.#isRunning || !this.#canFree) return;
    this.#isRunning = true;
    await this.#worker.driver.unfreed.retry().catch(() => undefined);
    await this.#retryShards();
    this.#isRunning = false;
  }

  async #retryShards(): Promise<void> {
    const { shards } = this.#worker;
    if (this.#round.length === 0) this.#round = shards.inState('releasing');
    let refusals = 0;
    for (let shard = this.#round.shift(); shard !== undefined; shard = this.#round.shift()) {
      const { phase, identity } = shard;
      const isStuck = phase.state === 'releasing' && phase.attempt === null;
      if (!isStuck || shards.get(identity.shardId) !== shard) continue;
      await discard(this.#worker, shard).catch(() => refusals++);
      if (refusals === maxRefusals || !this.#canFree) return;
    }
  }

  /** The devices are open, and neither stopped nor lost. */
  get #canFree(): boolean {
    const { devices, lifecycle } = this.#worker;
    return devices.size > 0 && lifecycle.phase !== 'stopped';
  }
}
