import type { Seal } from '../state/seal.js';
import type { Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';
import { isKept } from './keep.js';

/** The worker's relation to the keeper. */
export class Keeping {
  readonly #worker: WorkerState;
  #token: string | undefined;

  constructor(worker: WorkerState) {
    this.#worker = worker;
    this.#token = worker.options.keeper?.token;
    worker.shards.observers.push((shard, { seal }) => {
      if (shard.layout !== undefined && seal !== undefined) this.#list(shard, seal);
    });
  }

  /** Whether the keeper answers. */
  get isConnected(): boolean {
    return this.#worker.keeper?.isConnected ?? false;
  }

  /** Updates which shards the keeper has, as they report it. Called every second. */
  tick(): void {
    const { keeper, shards } = this.#worker;
    if (keeper === undefined) return;
    for (const shard of shards.all()) {
      if (shard.layout !== undefined) shard.setKept(isKept(keeper, shard));
    }
  }

  /** The manifest names the current handle, which that of the next worker replaces. */
  #list(shard: Shard, before: Seal): void {
    const { phase } = shard;
    if (phase.state !== 'sealed' || phase.seal.jti === before.jti) return;
    // Until it can be written, it names an earlier handle.
    this.#worker.lostShards.remember(shard, phase.seal).catch(() => undefined);
  }

  /** Used from the next connection on. Returns whether it changed. */
  replaceToken(token: string): boolean {
    if (token === this.#token) return false;
    this.#token = token;
    this.#worker.keeper?.replaceToken(token);
    return true;
  }
}
