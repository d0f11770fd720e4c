import { randomUUID } from 'node:crypto';
import { WorkerError } from '../../errors.js';
import { type Moment, momentNow } from '../../vram/moment.js';
import type { Shard } from './shard.js';

/**
 * A process that attaches shards, as the kernel identified it when it connected. All its connections share the object, unless
 * its pid is unknown.
 */
export interface LeasePeer {
  readonly uid: number;
  readonly gid: number;
  /** Null if the process is in another pid namespace. */
  readonly pid: number | null;
  /** Whether the kernel reports the end of the process. If not, its leases end with their connections. */
  readonly isWatched: boolean;
  /** The kernel has reported its end. Another process may still have its connections, and the memory with them. */
  readonly hasEnded: boolean;
  /**
   * When the process started, in clock ticks since the host's start; null if it is unknown. With the pid, it identifies the
   * process to a later worker. Never rejects.
   */
  readonly startTicks: Promise<number | null>;
  /** A lease begins to need the peer. Each call is matched by one of `drop`. */
  hold(): void;
  drop(): void;
}

/** A change that the holder of a lease learns of. */
export interface LeaseEvent {
  readonly event: 'corrupt' | 'repaired' | 'superseded' | 'releasing' | 'verified';
  readonly leaseId: string;
  readonly shardId: string;
  /** The current handle, if it is a new one. */
  readonly handle?: string;
  /** How long the holder has before its connection is closed. */
  readonly deadlineMs?: number;
}

/** The connection that a lease belongs to. */
export interface LeaseHolder {
  readonly peer: LeasePeer;
  readonly isOpen: boolean;
  /** Must not throw. */
  notify(event: LeaseEvent): void;
  /** Closes the connection, soon. */
  disconnect(): void;
}

/** Why a lease ended. `not_delivered`: the process never got the memory. */
export type LeaseEnd = 'detached' | 'process_ended' | 'disconnected' | 'not_delivered';

export const leaseStates = ['granted', 'active', 'lingering', 'orphaned', 'ended'] as const;
export type LeaseState = (typeof leaseStates)[number];

/**
 * `granted`: the memory was not sent yet. `active`: sent, and the connection is up. `lingering`: the connection is gone, the
 * process is alive and may still read the memory; if it is revoked, the process cannot resume it. `orphaned`: an earlier
 * worker granted it, and the process has not connected to this one yet.
 */
type LeasePhase =
  | { readonly state: 'granted' | 'active'; readonly holder: LeaseHolder }
  | { readonly state: 'lingering'; readonly isRevoked: boolean }
  | { readonly state: 'orphaned' }
  | { readonly state: 'ended'; readonly reason: LeaseEnd; readonly endedAt: Moment };

/** The allowed source states and the target state of each transition. Any other call throws INTERNAL. */
const leaseTransitions = {
  markDelivered: { from: ['granted'], to: 'active' },
  linger: { from: ['active'], to: 'lingering' },
  revoke: { from: ['active', 'lingering', 'orphaned'], to: 'lingering' },
  resume: { from: ['active', 'lingering', 'orphaned'], to: 'active' },
  end: { from: ['granted', 'active', 'lingering', 'orphaned'], to: 'ended' },
} as const satisfies Record<string, { from: readonly LeaseState[]; to: LeaseState }>;

/** What a client says about its lease. */
export interface LeaseNotes {
  /** The receipt repeats it. */
  readonly nonce: string | null;
  /** For logs and lists. */
  readonly label: string | null;
}

/** A lease that an earlier worker granted. */
export interface OrphanedLease {
  readonly leaseId: string;
  readonly grantedAt: Moment;
  readonly peer: LeasePeer;
}

/** A process that has, or is about to get, the memory of a shard. While it exists, the memory is neither wiped nor freed. */
export class Lease {
  readonly leaseId: string;
  readonly grantedAt: Moment;
  readonly shard: Shard;
  /** The process. A resumed orphan gets the one of its connection. */
  peer: LeasePeer;
  readonly notes: LeaseNotes;
  /** The transfer in progress. Never rejects. */
  delivery: Promise<void> | undefined;
  /** Called after each transition, with the state before it. */
  onPhase: (before: LeaseState) => void = () => undefined;
  #phase: LeasePhase;

  /** A new lease, or one that an earlier worker granted. */
  constructor(shard: Shard, by: LeaseHolder | OrphanedLease, notes: LeaseNotes) {
    this.shard = shard;
    this.peer = by.peer;
    this.notes = notes;
    this.leaseId = 'leaseId' in by ? by.leaseId : randomUUID();
    this.grantedAt = 'leaseId' in by ? by.grantedAt : momentNow();
    this.#phase = 'leaseId' in by ? { state: 'orphaned' } : { state: 'granted', holder: by };
  }

  get phase(): LeasePhase {
    return this.#phase;
  }

  get state(): LeaseState {
    return this.#phase.state;
  }

  /** The connection; undefined without one. */
  get holder(): LeaseHolder | undefined {
    return this.#phase.state === 'granted' || this.#phase.state === 'active' ? this.#phase.holder : undefined;
  }

  /** The process has the memory from now on. */
  markDelivered(): void {
    this.#require('markDelivered');
    if (this.#phase.state === 'granted') this.#enter({ ...this.#phase, state: 'active' });
  }

  /** The connection ended, and the process is alive. */
  linger(): void {
    this.#require('linger');
    this.#enter({ state: 'lingering', isRevoked: false });
  }

  /** An operator ended the connection for good. The process may still read the memory. */
  revoke(): void {
    this.#require('revoke');
    this.#enter({ state: 'lingering', isRevoked: true });
  }

  /** The process has connected again. */
  resume(holder: LeaseHolder): void {
    this.#require('resume');
    this.#enter({ state: 'active', holder });
  }

  /** The process no longer has the memory. */
  end(reason: LeaseEnd): void {
    this.#require('end');
    this.#enter({ state: 'ended', reason, endedAt: momentNow() });
  }

  #enter(phase: LeasePhase): void {
    const before = this.state;
    this.#phase = phase;
    this.onPhase(before);
  }

  #require(transition: keyof typeof leaseTransitions): void {
    const from: readonly LeaseState[] = leaseTransitions[transition].from;
    if (from.includes(this.state)) return;
    throw new WorkerError('INTERNAL', `The lease cannot ${transition} while it is ${this.state}`);
  }
}
