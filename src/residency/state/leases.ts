import { WorkerError } from '../../errors.js';
import { Waiters } from '../../runtime/waiters.js';
import { isNotBefore } from '../../vram/moment.js';
import {
  Lease,
  type LeaseHolder,
  type LeaseNotes,
  type LeasePeer,
  type LeaseState,
  type OrphanedLease,
} from './lease.js';
import type { Seal } from './seal.js';
import type { Shard } from './shard.js';
import { SortedMap } from './sorted_map.js';

/** All leases, and those of one user. Lingering leases keep a descriptor open each. */
const maxLeases = 16_384;
const maxLeasesPerUser = maxLeases / 2;
const maxLeasesPerProcess = 256;

/** Ended leases that are remembered per shard, because one of their processes may have caused damage found later. */
const maxPast = 256;

export interface LeaseFilter {
  readonly shardId?: string;
  readonly limit: number;
  readonly after?: string;
}

/** The leases that have not ended, by id and by shard. */
export class Leases {
  /** Called when a lease has ended. */
  onEnd: (lease: Lease) => void = () => undefined;
  readonly #byId = new SortedMap<Lease>();
  readonly #byShard = new Map<Shard, Set<Lease>>();
  readonly #past = new WeakMap<Shard, Lease[]>();
  readonly #byUser = new Tally<number>();
  readonly #byProcess = new Map<LeasePeer, Set<Lease>>();
  readonly #counts: Record<LeaseState, number> = { granted: 0, active: 0, lingering: 0, orphaned: 0, ended: 0 };
  readonly #waiting = new Waiters();

  /** From now on the shard's memory stays. @throws WorkerError RATE_LIMITED if there are too many leases */
  grant(shard: Shard, holder: LeaseHolder, notes: LeaseNotes): Lease {
    const { peer } = holder;
    if (this.ofProcess(peer).length >= maxLeasesPerProcess) throw tooMany('this process');
    if (this.#byUser.get(peer.uid) >= maxLeasesPerUser) throw tooMany('this user');
    if (this.#byId.size >= maxLeases) throw tooMany('all processes');
    return this.#add(new Lease(shard, holder, notes));
  }

  /** Adds a lease that an earlier worker granted. No limit applies: the process has the memory. */
  restore(shard: Shard, orphan: OrphanedLease, notes: LeaseNotes): Lease {
    return this.#add(new Lease(shard, orphan, notes));
  }

  /** The process of a lease has connected again. */
  resume(lease: Lease, holder: LeaseHolder): void {
    const { peer: before } = lease;
    if (before !== holder.peer) {
      lease.peer = holder.peer;
      this.#removeFromProcess(lease, before);
      this.#addToProcess(lease);
      holder.peer.hold();
      before.drop();
    }
    lease.resume(holder);
  }

  get(leaseId: string): Lease | undefined {
    return this.#byId.get(leaseId);
  }

  of(shard: Shard): Lease[] {
    return [...(this.#byShard.get(shard) ?? [])];
  }

  ofProcess(peer: LeasePeer): Lease[] {
    return [...(this.#byProcess.get(peer) ?? [])];
  }

  count(shard: Shard): number {
    return this.#byShard.get(shard)?.size ?? 0;
  }

  get countByState(): Readonly<Record<LeaseState, number>> {
    return this.#counts;
  }

  /** Up to `limit` leases in the order of their ids, and whether more follow. */
  page({ shardId, limit, after = '' }: LeaseFilter): { readonly leases: readonly Lease[]; readonly hasMore: boolean } {
    const leases: Lease[] = [];
    for (const lease of this.#byId.after(after)) {
      if (shardId !== undefined && lease.shard.identity.shardId !== shardId) continue;
      if (leases.length === limit) return { leases, hasMore: true };
      leases.push(lease);
    }
    return { leases, hasMore: false };
  }

  /** The leases whose processes may have written to the memory since the last verification that found it good. */
  candidates(shard: Shard, { verifiedAt }: Pick<Seal, 'verifiedAt'>): Lease[] {
    const past = (this.#past.get(shard) ?? []).filter(
      ({ phase }) => phase.state === 'ended' && isNotBefore(phase.endedAt, verifiedAt),
    );
    this.#past.set(shard, past);
    const present = this.of(shard).filter(({ state }) => state !== 'granted');
    return [...past, ...present];
  }

  /** Ends the leases whose memory was not sent, after transfers in progress. New ones must be impossible by now. */
  async settle(shard: Shard): Promise<void> {
    await Promise.all(this.of(shard).map(({ delivery }) => delivery));
    for (const lease of this.of(shard)) if (lease.state === 'granted') lease.end('not_delivered');
  }

  /** Resolves when a lease has ended, or at `wake`. */
  changed(): Promise<void> {
    return this.#waiting.wait();
  }

  wake(): void {
    this.#waiting.wake();
  }

  #add(lease: Lease): Lease {
    const { shard, peer } = lease;
    this.#byId.set(lease.leaseId, lease);
    const ofShard = this.#byShard.get(shard) ?? new Set();
    this.#byShard.set(shard, ofShard.add(lease));
    this.#byUser.add(peer.uid, 1);
    this.#addToProcess(lease);
    this.#counts[lease.state]++;
    shard.countLeases(1);
    peer.hold();
    lease.onPhase = (before) => this.#moved(lease, before);
    return lease;
  }

  #addToProcess(lease: Lease): void {
    const { peer } = lease;
    const ofProcess = this.#byProcess.get(peer) ?? new Set();
    this.#byProcess.set(peer, ofProcess.add(lease));
  }

  #removeFromProcess(lease: Lease, peer: LeasePeer): void {
    const ofProcess = this.#byProcess.get(peer);
    ofProcess?.delete(lease);
    if (ofProcess?.size === 0) this.#byProcess.delete(peer);
  }

  #moved(lease: Lease, before: LeaseState): void {
    this.#counts[before]--;
    if (lease.phase.state !== 'ended') return void this.#counts[lease.state]++;
    const { shard, peer } = lease;
    this.#byId.delete(lease.leaseId);
    const ofShard = this.#byShard.get(shard);
    ofShard?.delete(lease);
    shard.countLeases(-1);
    if (ofShard?.size === 0) this.#byShard.delete(shard);
    this.#byUser.add(peer.uid, -1);
    this.#removeFromProcess(lease, peer);
    if (lease.phase.reason !== 'not_delivered') {
      this.#past.set(shard, [...(this.#past.get(shard) ?? []).slice(1 - maxPast), lease]);
    }
    peer.drop();
    this.onEnd(lease);
    this.wake();
  }
}

/** Counts by key. */
class Tally<K> {
  readonly #counts = new Map<K, number>();

  get(key: K): number {
    return this.#counts.get(key) ?? 0;
  }

  add(key: K, step: 1 | -1): void {
    const count = this.get(key) + step;
    if (count === 0) this.#counts.delete(key);
    else this.#counts.set(key, count);
  }
}

const tooMany = (of: string): WorkerError =>
  new WorkerError('RATE_LIMITED', `There are too many leases of ${of}`, { retryAfterMs: 1000 });
