import { closeSync } from 'node:fs';
import { Sequence } from '../../runtime/sequence.js';
import { hasEnded, pidfdOf, processStartTicks } from '../../vram/peer_process.js';
import type { LeasePeer } from '../state/lease.js';
import type { ManifestLease } from '../state/manifest_lease.js';
import type { Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';

/** The processes that have leases of an earlier worker, until they have ended or have connected to this one. */
export class Orphans {
  readonly #worker: Pick<WorkerState, 'leases'>;
  /** By user, pid and start, so that the leases of one process share one pidfd. */
  readonly #peers = new Map<string, OrphanedPeer>();
  /** Several shards are mapped at the same time. Each must find the peers of those before it. */
  readonly #restores = new Sequence();

  constructor(worker: Pick<WorkerState, 'leases'>) {
    this.#worker = worker;
  }

  /** Adds the leases that an earlier worker granted on a shard's memory. Those of processes that have ended, end. Never rejects. */
  restore(shard: Shard, leases: readonly ManifestLease[]): Promise<void> {
    return this.#restores.run(() => this.#restore(shard, leases));
  }

  /** Ends the leases of processes that have ended. Called every second. */
  tick(): void {
    for (const peer of this.#peers.values()) {
      if (!peer.hasEnded) continue;
      for (const lease of this.#worker.leases.ofProcess(peer)) lease.end('process_ended');
    }
  }

  /** Closes all pidfds. */
  close(): void {
    for (const peer of this.#peers.values()) peer.close();
    this.#peers.clear();
  }

  async #restore(shard: Shard, leases: readonly ManifestLease[]): Promise<void> {
    for (const { leaseId, label, nonce, grantedAtMs, isRevoked, ...listed } of leases) {
      const peer = await this.#peerOf(listed);
      const grantedAt = { wallMs: grantedAtMs, monotonicMs: performance.now() };
      const lease = this.#worker.leases.restore(shard, { leaseId, grantedAt, peer }, { label, nonce });
      if (isRevoked) lease.revoke();
      if (peer.hasEnded) lease.end('process_ended');
    }
  }

  async #peerOf(listed: ListedProcess): Promise<OrphanedPeer> {
    const { uid, gid, pid, startTicks } = listed;
    const key = [uid, gid, pid, startTicks].join(' ');
    const known = pid === null ? undefined : this.#peers.get(key);
    if (known !== undefined) return known;
    const peer = new OrphanedPeer(listed, await findProcess(listed), () => this.#peers.delete(key));
    if (peer.isWatched) this.#peers.set(key, peer);
    return peer;
  }
}

/** What the manifest says about a process. */
type ListedProcess = Pick<ManifestLease, 'uid' | 'gid' | 'pid' | 'startTicks'>;

/** What became of a process. `unknown`: nothing identifies it. */
type Found = { readonly pidfd: number } | 'ended' | 'unknown';

/** Another process may have the pid by now, but not with the same start. */
async function findProcess({ pid, startTicks }: ListedProcess): Promise<Found> {
  if (pid === null || startTicks === null) return 'unknown';
  try {
    const pidfd = pidfdOf(pid);
    if (pidfd === undefined) return 'ended';
    const ticks = await processStartTicks(pid);
    // If the start cannot be read, the lease lasts as long as the process that has the pid now.
    if ((ticks === null || ticks === startTicks) && !hasEnded(pidfd)) return { pidfd };
    closeSync(pidfd);
    return 'ended';
  } catch {
    return 'unknown';
  }
}

/**
 * A process that has a lease of an earlier worker. If nothing identifies it, its leases last until it resumes them, or an operator
 * ends them.
 */
export class OrphanedPeer implements LeasePeer {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number | null;
  readonly startTicks: Promise<number | null>;
  readonly #onUnused: () => void;
  #found: Found;
  #leases = 0;

  constructor({ uid, gid, pid, startTicks }: ListedProcess, found: Found, onUnused: () => void) {
    this.uid = uid;
    this.gid = gid;
    this.pid = pid;
    this.startTicks = Promise.resolve(startTicks);
    this.#found = found;
    this.#onUnused = onUnused;
  }

  get isWatched(): boolean {
    return typeof this.#found === 'object';
  }

  get hasEnded(): boolean {
    return this.#found === 'ended' || (typeof this.#found === 'object' && hasEnded(this.#found.pidfd));
  }

  hold(): void {
    this.#leases++;
  }

  drop(): void {
    this.#leases--;
    if (this.#leases > 0) return;
    this.close();
    this.#onUnused();
  }

  close(): void {
    if (typeof this.#found === 'object') closeSync(this.#found.pidfd);
    this.#found = 'ended';
  }
}

/**
 * Whether a process that has connected is the one that has an orphaned lease. Without a pid or a start, the id of the lease and
 * that of the memory identify it: only the process and operators know them.
 */
export async function isSameProcess(orphan: LeasePeer, connected: LeasePeer): Promise<boolean> {
  if (orphan.uid !== connected.uid || orphan.pid !== connected.pid) return false;
  const [before, now] = await Promise.all([orphan.startTicks, connected.startTicks]);
  return before === null || before === now;
}
