import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, outcomeOf } from '../../errors.js';
import { discard } from '../discard.js';
import { keepShard, tryDropKept } from '../keep/keep.js';
import { sweepKept } from '../keep/sweep.js';
import type { Orphans } from '../lease/orphans.js';
import type { Abortable } from '../state/abortable.js';
import type { ManifestEntry } from '../state/manifest_entry.js';
import type { Proof } from '../state/seal.js';
import type { WorkerState } from '../state/worker_state.js';
import { type KeptEntry, mapKept } from './map_kept.js';
import { type MappedShard, proveKept, sealKept } from './prove_kept.js';
import { Retries } from './retries.js';

/** How long a start waits for the keeper, which may start at the same time. Clients are refused until then. */
const keeperPatienceMs = 10_000;

/** How many shards are mapped, and how many are proven, concurrently. */
const slots = 4;

/** How often a mapping is tried if the driver or the keeper fails. */
const mapAttempts = 3;

const defaultRetryMs = 1000;

/** What became of mapped memory. `freed` resolves with whether it is free: it is not while processes have it. */
export type ReadoptionOutcome =
  | { readonly kind: 'sealed' | 'stopped' }
  | { readonly kind: 'failed'; readonly why: string; readonly freed: Promise<boolean> };

/**
 * Takes over the memory that outlived the worker which loaded it. First all of it is mapped, so that no client takes its place. Then
 * it is proven: digested on the device, repaired if necessary, and sealed with a new handle.
 */
export class Readoption implements Abortable {
  readonly #worker: WorkerState;
  readonly #orphans: Orphans;
  readonly #stopped = new AbortController();
  readonly #mapped = new Map<ManifestEntry, MappedShard>();
  #ended: Promise<void> = Promise.resolve();

  constructor(worker: WorkerState, orphans: Orphans) {
    this.#worker = worker;
    this.#orphans = orphans;
  }

  /** Whether the memory of a shard is mapped. */
  has(entry: ManifestEntry): boolean {
    return this.#mapped.has(entry);
  }

  /** Maps the memory that the keeper has. Reports what it refuses. Never rejects. */
  async map(entries: readonly KeptEntry[]): Promise<void> {
    const { keeper, devices, ingests } = this.#worker;
    if (keeper === undefined) return;
    let ended = (): void => undefined;
    this.#ended = new Promise((resolve) => {
      ended = resolve;
    });
    this.#onEnd = ended;
    ingests.add(this);
    if (entries.length > 0) await this.#connected();
    await inSlots(entries, (entry) => this.#map(entry));
    // The driver may have counted the memory as used before it was mapped.
    await Promise.all([...devices.values()].map((device) => device.refresh().catch(() => undefined)));
    await sweepKept(this.#worker);
  }

  /** Proves all mapped memory. `onOutcome` must not reject. Never rejects. */
  async proveAll(onOutcome: (entry: ManifestEntry, outcome: ReadoptionOutcome) => Promise<void>): Promise<void> {
    await inSlots([...this.#mapped.values()], async (mapped) => onOutcome(mapped.entry, await this.#prove(mapped)));
    this.#worker.ingests.delete(this);
    this.#onEnd();
  }

  /** Leaves the memory that is not sealed yet to the keeper. Resolves when that has ended. */
  async abort(reason: unknown): Promise<void> {
    this.#stopped.abort(reason);
    await this.#ended;
  }

  async stop(reason: unknown): Promise<void> {
    await this.abort(reason);
  }

  #onEnd = (): void => undefined;

  async #connected(): Promise<void> {
    const worker = this.#worker;
    const { signal } = this.#stopped;
    const stopped = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    const connected = worker.keeper?.connected(keeperPatienceMs).catch((error: unknown) => {
      worker.log('error', 'the keeper is not there: its shards are restored without it', { err: error });
    });
    await Promise.race([connected, stopped]);
  }

  async #map(entry: KeptEntry): Promise<void> {
    for (let attempt = 1; !this.#stopped.signal.aborted; attempt++) {
      try {
        const shard = await mapKept(this.#worker, entry, this.#orphans);
        if (shard?.allocation === undefined)
          return this.#report(entry, 'warning', 'The keeper does not have the memory');
        const { allocation } = shard;
        this.#mapped.set(entry, { entry, shard, allocation, signal: this.#stopped.signal });
        return;
      } catch (error) {
        const code = outcomeOf(error);
        // A keeper that is away was waited for. Many shards must not wait for it one after the other.
        const isAway = code === 'KEEPER_UNAVAILABLE' && this.#worker.keeper?.isConnected === false;
        const mayPass = code === 'CUDA_ERROR' || code === 'HOST_OOM' || (code === 'KEEPER_UNAVAILABLE' && !isAway);
        if (mayPass && attempt < mapAttempts) {
          await sleep(this.#retryMs, undefined, { ref: false });
          continue;
        }
        this.#report(entry, 'critical', messageOf(error));
        // Memory that is refused must not take space for ever.
        if (code !== 'KEEPER_UNAVAILABLE')
          void this.#worker.keeper?.drop(entry.memory.allocationId).catch(() => undefined);
        return;
      }
    }
  }

  get #retryMs(): number {
    return this.#worker.options.restoreRetryMs ?? defaultRetryMs;
  }

  async #prove(mapped: MappedShard): Promise<ReadoptionOutcome> {
    const { entry, shard, signal } = mapped;
    const worker = this.#worker;
    try {
      await this.#proveAndSeal(mapped);
    } catch (error) {
      if (signal.aborted) {
        await discard(worker, shard).catch(() => undefined);
        return { kind: 'stopped' };
      }
      return this.#refuse(mapped, messageOf(error));
    }
    // From now on the keeper gets the memory again if it restarts.
    await keepShard(worker, shard);
    worker.log('info', 'shard readopted', { shard_id: entry.shardId });
    return { kind: 'sealed' };
  }

  /** Retries what says nothing about the memory. */
  async #proveAndSeal(mapped: MappedShard): Promise<void> {
    const { signal, entry } = mapped;
    const retries = new Retries(this.#retryMs);
    let proof: Proof | undefined;
    for (;;) {
      try {
        signal.throwIfAborted();
        proof ??= await proveKept(this.#worker, mapped);
        return await sealKept(this.#worker, mapped, proof);
      } catch (error) {
        this.#worker.driverHealth.report(error);
        const isFinal = outcomeOf(error) === 'SEAL_VERIFICATION_FAILED';
        const delayMs = isFinal || signal.aborted ? undefined : retries.delayAfter(error);
        if (delayMs === undefined) throw error;
        if (retries.isFirst)
          this.#worker.log('error', 'readoption will be retried', {
            shard_id: entry.shardId,
            detail: messageOf(error),
          });
        await sleep(delayMs, undefined, { signal, ref: false }).catch(() => undefined);
      }
    }
  }

  /** Frees memory that is not good. It waits for the processes that have it. */
  async #refuse({ entry, shard }: MappedShard, why: string): Promise<ReadoptionOutcome> {
    const worker = this.#worker;
    this.#report(entry, 'critical', why);
    await tryDropKept(worker, shard);
    shard.unrecordedReason = 'not_readopted';
    const isLeased = worker.leases.count(shard) > 0;
    const freed = discard(worker, shard).then(
      () => true,
      () => false,
    );
    return { kind: 'failed', why, freed: isLeased ? Promise.resolve(false) : freed };
  }

  #report(
    { shardId, modelRef, treeDigest, memory }: KeptEntry,
    severity: 'warning' | 'critical',
    detail: string,
  ): void {
    const fields = { shard_id: shardId, allocation_id: memory.allocationId, detail };
    this.#worker.log(severity === 'warning' ? 'warn' : 'error', 'shard not readopted', fields);
    const identity = { model_ref: modelRef, tree_digest: treeDigest };
    void this.#worker.audit.appendBestEffort('ReadoptionFailed', severity, { ...fields, ...identity });
  }
}

async function inSlots<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values();
  const run = async () => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: slots }, run));
}
