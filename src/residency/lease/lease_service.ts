import { type Actor, systemActor } from '../../audit/actor.js';
import { WorkerError } from '../../errors.js';
import type { Scrubber } from '../integrity/scrubber.js';
import type { Verifier } from '../integrity/verifier.js';
import type { Lease, LeaseEvent, LeaseHolder, LeasePeer } from '../state/lease.js';
import type { LeaseFilter } from '../state/leases.js';
import type { WorkerState } from '../state/worker_state.js';
import { type AttachRequest, attach } from './attach.js';
import { type LeaseGrant, receiptOf } from './grant.js';
import { listLease, unlistLease } from './listed_leases.js';
import { changeOf, notifyHolders } from './notify.js';
import { isSameProcess, OrphanedPeer, Orphans } from './orphans.js';
import { RefusedLeases } from './refused_leases.js';
import { type LeaseSnapshot, leaseFields, leaseSnapshot } from './snapshot.js';
import { VerifyAfterLease } from './verify_after.js';

export interface LeasePage {
  readonly leases: readonly LeaseSnapshot[];
  readonly nextCursor: string | null;
}

/** The documents of a resumed lease. */
export interface ResumedLease {
  readonly handle: string;
  readonly receipt: string;
  /** Set if the shard is corrupt: the process may not have been connected when the damage was found. */
  readonly damage: LeaseEvent | undefined;
}

/** The operations on leases. */
export class LeaseService {
  readonly #worker: WorkerState;
  readonly #verifier: Verifier;
  readonly #refused: RefusedLeases;
  /** The leases of earlier workers. */
  readonly orphans: Orphans;

  constructor(worker: WorkerState, verifier: Verifier, scrubber: Scrubber) {
    this.#worker = worker;
    this.#verifier = verifier;
    this.#refused = new RefusedLeases(worker.audit);
    this.orphans = new Orphans(worker);
    const verifyAfter = new VerifyAfterLease((shard) => scrubber.verifyNow(shard));
    worker.leases.onEnd = (lease) => {
      this.#ended(lease);
      if (worker.options.verifyAfterLease && !worker.lifecycle.isEnding) verifyAfter.ended(lease);
    };
    worker.shards.observers.push((shard, before) => {
      const change = changeOf(shard, before);
      if (change !== undefined) notifyHolders(worker, shard, change);
    });
  }

  /** Grants a lease. See `attach`. */
  attach(holder: LeaseHolder, request: AttachRequest): Promise<LeaseGrant> {
    return attach(this.#worker, this.#verifier, holder, request);
  }

  /** The process has unmapped the memory. @throws WorkerError NOT_FOUND unless the lease is one of this process */
  detach(leaseId: string, holder: LeaseHolder): void {
    this.#own(leaseId, holder).end('detached');
  }

  /**
   * Continues a lease of the same process on a new connection, also one that an earlier worker granted.
   * @throws WorkerError STALE_ALLOCATION, FORBIDDEN if an operator has ended it, SHARD_BUSY, DRAINING
   */
  async resume(leaseId: string, allocationId: string, holder: LeaseHolder): Promise<ResumedLease> {
    this.#worker.requireOpenToClients();
    const lease = this.#find(leaseId, holder) ?? (await this.#findOrphan(leaseId, holder));
    const isGone = lease === undefined || lease.state === 'granted' || lease.state === 'ended' || !holder.isOpen;
    if (isGone || lease.shard.allocationId !== allocationId) {
      throw new WorkerError('STALE_ALLOCATION', 'The worker no longer has the memory of this lease');
    }
    if (lease.phase.state === 'lingering' && lease.phase.isRevoked) {
      throw new WorkerError('FORBIDDEN', 'An operator has ended this lease');
    }
    const { seal, state } = lease.shard;
    // A worker that has just started must prove the memory before it issues a handle.
    if (state === 'receiving' || state === 'sealing') throw unproven();
    if (seal === undefined) throw new WorkerError('SHARD_BUSY', `The shard is ${state}`, { retriable: false });
    const receipt = receiptOf(lease, this.#worker.signer);
    this.#worker.leases.resume(lease, holder);
    const { shardId } = lease.shard.identity;
    const damage = state === 'corrupt' ? { event: 'corrupt' as const, leaseId, shardId } : undefined;
    return { handle: seal.handle, receipt, damage };
  }

  /** A connection has closed: its leases linger for as long as the process is alive. */
  disconnected(holder: LeaseHolder): void {
    for (const lease of this.#worker.leases.ofProcess(holder.peer)) {
      if (lease.holder === holder) void this.#lostHolder(lease);
    }
  }

  /**
   * A process has ended, and the kernel has taken back its memory. A connection that is still up is in another process,
   * which the first one forked: that one may have the memory too, so the lease ends with the connection.
   */
  processEnded(peer: LeasePeer): void {
    for (const lease of this.#worker.leases.ofProcess(peer)) {
      if (lease.holder === undefined) lease.end('process_ended');
    }
  }

  /**
   * Closes the connection of a lease for good. The process keeps the memory until it ends. Returns the lease after this.
   * @throws WorkerError NOT_FOUND, AUDIT_UNAVAILABLE
   */
  async revoke(leaseId: string, actor: Actor): Promise<LeaseSnapshot> {
    const { leases, lifecycle, shardAudit } = this.#worker;
    lifecycle.requireStarted();
    const lease = leases.get(leaseId);
    if (lease === undefined) throw new WorkerError('NOT_FOUND', 'The lease does not exist');
    await shardAudit.appendRequired('LeaseRevoked', lease.shard, leaseFields(lease), actor);
    const { holder } = lease;
    await lease.delivery;
    if (lease.state === 'granted') lease.end('not_delivered');
    else if (lease.state !== 'ended' && !lease.peer.isWatched) lease.end('disconnected');
    else if (lease.state !== 'ended' && lease.peer.hasEnded) lease.end('process_ended');
    else if (lease.state !== 'ended') {
      lease.revoke();
      await listLease(this.#worker, lease).catch(() => undefined);
    }
    holder?.disconnect();
    return leaseSnapshot(lease);
  }

  /** @throws WorkerError STARTING; NOT_FOUND if `shardId` does not exist */
  page(filter: LeaseFilter): LeasePage {
    const { lifecycle, shards, leases } = this.#worker;
    lifecycle.requireStarted();
    if (filter.shardId !== undefined) shards.require(filter.shardId);
    const page = leases.page(filter);
    const last = page.leases.at(-1);
    return {
      leases: page.leases.map(leaseSnapshot),
      nextCursor: page.hasMore && last !== undefined ? last.leaseId : null,
    };
  }

  /** Records that a process was refused. `fields` identify it. */
  refused(code: string, fields: Readonly<Record<string, unknown>>): void {
    this.#worker.observer.attachRefused(code);
    this.#refused.add(code, fields);
  }

  /** Reports the duration of a successful attach, from the request to the last byte. */
  attached(seconds: number): void {
    this.#worker.observer.attached(seconds);
  }

  /** A lease of the same process. */
  #find(leaseId: string, { peer }: LeaseHolder): Lease | undefined {
    const lease = this.#worker.leases.get(leaseId);
    return lease?.peer === peer ? lease : undefined;
  }

  async #findOrphan(leaseId: string, { peer }: LeaseHolder): Promise<Lease | undefined> {
    const lease = this.#worker.leases.get(leaseId);
    if (lease === undefined || !(lease.peer instanceof OrphanedPeer)) return undefined;
    return (await isSameProcess(lease.peer, peer)) ? lease : undefined;
  }

  #own(leaseId: string, holder: LeaseHolder): Lease {
    const lease = this.#find(leaseId, holder);
    if (lease === undefined) throw new WorkerError('NOT_FOUND', 'The lease does not exist');
    return lease;
  }

  async #lostHolder(lease: Lease): Promise<void> {
    const { holder } = lease;
    // A transfer in progress decides whether the process has the memory.
    await lease.delivery;
    if (lease.holder !== holder) return;
    if (lease.state === 'granted') lease.end('not_delivered');
    else if (lease.peer.hasEnded) lease.end('process_ended');
    else if (lease.peer.isWatched) lease.linger();
    else lease.end('disconnected');
  }

  #ended(lease: Lease): void {
    if (lease.phase.state !== 'ended') return;
    const fields = { ...leaseFields(lease), reason: lease.phase.reason };
    const entry = { event: 'LeaseEnded', severity: 'info', fields } as const;
    void this.#worker.shardAudit.appendBestEffort(entry, lease.shard, systemActor);
    unlistLease(this.#worker, lease);
  }
}

const unproven = (): WorkerError =>
  new WorkerError('SHARD_BUSY', 'The memory is being verified after a restart', { retryAfterMs: 500 });
