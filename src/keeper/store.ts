import { WorkerError } from '../errors.js';
import type { Descriptors } from '../ipc/descriptors.js';
import { type KeptEntry, type KeptMemory, type KeptPage, nameOf, partCount } from './messages.js';

/** The entries of a page. A page of the longest names fits into a frame. */
const maxListed = 512;

export interface StoreLimits {
  readonly maxDescriptors: number;
  /** How long memory is held that no worker claims. */
  readonly holdSeconds: number;
}

/** A process that claims memory. Its claims end with its connection. */
export interface Claimant {
  readonly workerId: string | undefined;
  /** The memory was dropped by another process. Must not throw. */
  dropped(allocationId: string): void;
}

interface Held {
  readonly workerId: string;
  readonly memory: KeptMemory;
  readonly descriptors: Descriptors;
  readonly claimants: Set<Claimant>;
  /** When the last claim ended, by `performance.now()`. */
  unclaimedMs: number;
}

/** The descriptors that the keeper holds, by worker id and allocation id. */
export class DescriptorStore {
  readonly #limits: StoreLimits;
  readonly #held = new Map<string, Held>();
  #descriptorCount = 0;

  constructor(limits: StoreLimits) {
    this.#limits = limits;
  }

  get allocationCount(): number {
    return this.#held.size;
  }

  get descriptorCount(): number {
    return this.#descriptorCount;
  }

  /**
   * Holds memory, claimed by the process that put it. Takes the descriptors only if it returns.
   * @throws WorkerError SHARD_CONFLICT if the name is in use, KEEPER_FULL
   */
  put(claimant: Claimant, memory: KeptMemory, descriptors: Descriptors): void {
    const { workerId } = claimant;
    if (workerId === undefined) throw noWorkerId();
    if (descriptors.count !== partCount(memory)) {
      const problem = `${descriptors.count} descriptors arrived for ${partCount(memory)} parts`;
      throw new WorkerError('INVALID_PARAMS', problem);
    }
    const name = nameOf(workerId, memory.allocationId);
    if (this.#held.has(name)) throw new WorkerError('SHARD_CONFLICT', 'The keeper already has this allocation');
    this.#requireRoom(descriptors.count);
    const kept = descriptors.moved();
    const held = { workerId, memory, descriptors: kept, claimants: new Set([claimant]), unclaimedMs: 0 };
    this.#held.set(name, held);
    this.#descriptorCount += kept.count;
  }

  /** The memory and its descriptors, which stay the store's, claimed by the process. @throws WorkerError NOT_FOUND */
  claim(claimant: Claimant, allocationId: string): { memory: KeptMemory; descriptors: readonly number[] } {
    const { workerId } = claimant;
    if (workerId === undefined) throw noWorkerId();
    const held = this.#held.get(nameOf(workerId, allocationId));
    if (held === undefined) throw new WorkerError('NOT_FOUND', 'The keeper does not have this allocation');
    held.claimants.add(claimant);
    return { memory: held.memory, descriptors: held.descriptors.numbers };
  }

  /** Ends the claims of a process. */
  unclaim(claimant: Claimant, nowMs = performance.now()): void {
    for (const held of this.#held.values()) {
      if (held.claimants.delete(claimant) && held.claimants.size === 0) held.unclaimedMs = nowMs;
    }
  }

  /** The memory after a name. */
  page(cursor = '', nowMs = performance.now()): KeptPage {
    const names = [...this.#held.keys()].filter((name) => name > cursor).sort();
    const listed = names.slice(0, maxListed);
    const entries = listed.flatMap((name) => {
      const held = this.#held.get(name);
      if (held === undefined) return [];
      const { workerId, memory, claimants, unclaimedMs } = held;
      const unclaimedSeconds = claimants.size > 0 ? null : Math.floor((nowMs - unclaimedMs) / 1000);
      return [{ ...memory, workerId, unclaimedSeconds }];
    });
    return { entries, nextCursor: names.length > listed.length ? (listed.at(-1) ?? null) : null };
  }

  /**
   * Closes descriptors of memory: one allocation, or all. A process with a worker id drops its own only. Tells all other
   * claimants. Returns how many allocations were dropped.
   */
  drop(claimant: Claimant, allocationId: string | undefined): number {
    const dropped = [...this.#held].filter(
      ([, { workerId, memory }]) =>
        (claimant.workerId ?? workerId) === workerId && (allocationId ?? memory.allocationId) === memory.allocationId,
    );
    for (const [name, held] of dropped) {
      this.#remove(name, held);
      for (const other of held.claimants) if (other !== claimant) other.dropped(held.memory.allocationId);
    }
    return dropped.length;
  }

  /** Drops memory that no worker has claimed for the hold time, and returns it. */
  dropExpired(nowMs = performance.now()): readonly KeptEntry[] {
    const endMs = nowMs - this.#limits.holdSeconds * 1000;
    const expired = [...this.#held].filter(([, held]) => held.claimants.size === 0 && held.unclaimedMs <= endMs);
    for (const [name, held] of expired) this.#remove(name, held);
    return expired.map(([, { workerId, memory, unclaimedMs }]) => {
      return { ...memory, workerId, unclaimedSeconds: Math.floor((nowMs - unclaimedMs) / 1000) };
    });
  }

  /** Closes all descriptors. */
  clear(): void {
    for (const [name, held] of [...this.#held]) this.#remove(name, held);
  }

  #remove(name: string, held: Held): void {
    this.#descriptorCount -= held.descriptors.count;
    held.descriptors.close();
    this.#held.delete(name);
  }

  #requireRoom(count: number): void {
    const { maxDescriptors } = this.#limits;
    if (this.#descriptorCount + count <= maxDescriptors) return;
    const problem = `The keeper has ${this.#descriptorCount} descriptors: its limit is ${maxDescriptors}`;
    throw new WorkerError('KEEPER_FULL', problem);
  }
}

const noWorkerId = (): WorkerError => new WorkerError('INVALID_PARAMS', 'The greeting had no worker_id');
