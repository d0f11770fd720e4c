import { sha256 } from '../../support/requests.js';

/** A shard's memory, as its bytes should be. It is zero once the worker has wiped it. */
export interface Memory {
  readonly shardId: string;
  content: Buffer;
  isWiped: boolean;
}

export interface ModelShard {
  readonly memory: Memory;
  state: 'sealed' | 'corrupt' | 'releasing';
}

export interface ModelLease {
  readonly memory: Memory;
  /** `orphaned`: the worker that granted it has stopped. */
  state: 'active' | 'lingering' | 'orphaned';
  isRevoked: boolean;
}

/** The leases of one process, and the memory that it kept after it detached. */
export class ModelProcess {
  readonly leases = new Map<string, ModelLease>();
  readonly kept = new Map<string, Memory>();
  isConnected = false;

  /** Whether its present connection has a lease on the memory. */
  hasActive(memory: Memory): boolean {
    return [...this.leases.values()].some((lease) => lease.memory === memory && lease.state === 'active');
  }

  /** The connection ended. */
  disconnect(): void {
    this.isConnected = false;
    for (const lease of this.leases.values()) if (lease.state === 'active') lease.state = 'lingering';
  }
}

/** What a worker and its clients should do: the reference of the lease histories. */
export class LeaseModel {
  readonly shards = new Map<string, ModelShard>();
  processes: ModelProcess[];

  constructor(processes: number) {
    this.processes = Array.from({ length: processes }, () => new ModelProcess());
  }

  /** The processes that the worker knows to have a shard. */
  holdersOf(shard: ModelShard): ModelProcess[] {
    return this.processes.filter(({ leases }) =>
      [...leases.values()].some(({ memory, state }) => memory === shard.memory && state !== 'orphaned'),
    );
  }

  commit(shardId: string, bytes: Buffer): number {
    const shard = this.shards.get(shardId);
    if (shard !== undefined) return shard.state === 'sealed' ? 200 : 409;
    this.shards.set(shardId, { memory: { shardId, content: Buffer.from(bytes), isWiped: false }, state: 'sealed' });
    return 201;
  }

  release(shardId: string, force: boolean): number {
    const shard = this.shards.get(shardId);
    if (shard === undefined) return 404;
    const holders = this.holdersOf(shard);
    if (shard.state === 'releasing' && (!force || holders.length === 0)) return 409;
    if (holders.length > 0 && !force) return 409;
    shard.state = 'releasing';
    for (const process of holders) if (process.hasActive(shard.memory)) process.disconnect();
    this.freeUnused();
    return holders.length > 0 ? 202 : 204;
  }

  /** The code of a refused attach; undefined if the process gets the shard. */
  refusal(shardId: string): string | undefined {
    const state = this.shards.get(shardId)?.state;
    if (state === undefined) return 'NOT_FOUND';
    return state === 'sealed' ? undefined : state === 'corrupt' ? 'SHARD_CONFLICT' : 'SHARD_BUSY';
  }

  /** Whether a verification passes; undefined if there is nothing to verify. */
  verify(shardId: string, original: Buffer): boolean | undefined {
    const shard = this.shards.get(shardId);
    if (shard === undefined || shard.state === 'releasing') return undefined;
    if (!shard.memory.content.equals(original)) shard.state = 'corrupt';
    return shard.state === 'sealed';
  }

  /** A damaged shard from a file got its bytes back. */
  repair(shardId: string, original: Buffer): void {
    const shard = this.shards.get(shardId);
    if (shard === undefined) return;
    original.copy(shard.memory.content);
    shard.state = 'sealed';
  }

  /** A restart leaves memory with a lease as it is, and wipes the rest. A crash leaves all memory. */
  restart(how: 'restart' | 'crash'): void {
    for (const shard of this.shards.values()) {
      if (how === 'restart') shard.memory.isWiped = this.holdersOf(shard).length === 0;
    }
    this.shards.clear();
    for (const process of this.processes) {
      process.disconnect();
      for (const lease of process.leases.values()) lease.state = 'orphaned';
    }
  }

  /** Frees the shards in release that no process has any more. */
  freeUnused(): void {
    for (const [shardId, shard] of this.shards) {
      if (shard.state !== 'releasing' || this.holdersOf(shard).length > 0) continue;
      shard.memory.isWiped = true;
      this.shards.delete(shardId);
    }
  }

  /** The state of each lease that the worker has. */
  leases(): Record<string, string> {
    const known = this.processes.flatMap(({ leases }) => [...leases]).filter(([, { state }]) => state !== 'orphaned');
    return Object.fromEntries(known.map(([leaseId, { state }]) => [leaseId, state]));
  }
}

export const digestOf = ({ content }: Memory): string => sha256(content).slice('sha256:'.length);
