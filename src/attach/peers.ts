import { closeSync } from 'node:fs';
import { WorkerError } from '../errors.js';
import type { LeasePeer } from '../residency/state/lease.js';
import { hasEnded, type PeerCredentials, peerPidfd, processInode, processStartTicks } from '../vram/peer_process.js';
import type { Poller, Watch } from '../vram/poller.js';

/**
 * The processes that have connections or leases. Each has one pidfd, which is open until the process has ended or needs
 * nothing else.
 */
export class Peers {
  readonly #poller: Poller;
  readonly #onEnd: (peer: LeasePeer) => void;
  readonly #max: number;
  /** By pid, or by the inode of the pidfd if the pid is unknown. */
  readonly #byId = new Map<number | bigint, WatchedPeer>();
  readonly #all = new Set<WatchedPeer>();

  /** `onEnd` is called when a process has ended. At most `max` processes are watched at a time. */
  constructor(poller: Poller, max: number, onEnd: (peer: LeasePeer) => void) {
    this.#poller = poller;
    this.#max = max;
    this.#onEnd = onEnd;
  }

  /**
   * The process at the other end of a connection, held once.
   * @throws WorkerError RATE_LIMITED if it cannot be watched because there are too many; SocketError if no descriptor is free
   */
  of(descriptor: number, credentials: PeerCredentials): LeasePeer {
    const byPid = this.#find(credentials.pid ?? undefined, credentials);
    if (byPid !== undefined) return byPid.held();
    if (this.#all.size >= this.#max) throw tooMany();
    const pidfd = peerPidfd(descriptor, credentials.pid);
    const id = credentials.pid ?? (pidfd === undefined ? undefined : processInode(pidfd));
    const byInode = this.#find(id, credentials);
    if (byInode !== undefined) {
      if (pidfd !== undefined) closeSync(pidfd);
      return byInode.held();
    }
    return this.#watched(new WatchedPeer(credentials, pidfd, (peer) => this.#forget(peer)), id);
  }

  /** Closes all pidfds. */
  close(): void {
    for (const peer of this.#all) peer.unwatch();
    this.#all.clear();
    this.#byId.clear();
  }

  #find(id: number | bigint | undefined, credentials: PeerCredentials): WatchedPeer | undefined {
    const known = id === undefined ? undefined : this.#byId.get(id);
    return known?.isSame(credentials) ? known : undefined;
  }

  #watched(peer: WatchedPeer, id: number | bigint | undefined): LeasePeer {
    const { pidfd } = peer;
    if (pidfd !== undefined) {
      peer.watch = this.#poller.watch(pidfd, { readable: true, writable: false }, () => this.#ended(peer));
      peer.id = id;
      if (id !== undefined) this.#byId.set(id, peer);
    }
    this.#all.add(peer);
    return peer.held();
  }

  #ended(peer: WatchedPeer): void {
    peer.markEnded();
    this.#forget(peer);
    this.#onEnd(peer);
  }

  #forget(peer: WatchedPeer): void {
    peer.unwatch();
    this.#all.delete(peer);
    if (peer.id !== undefined && this.#byId.get(peer.id) === peer) this.#byId.delete(peer.id);
  }
}

class WatchedPeer implements LeasePeer {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number | null;
  readonly isWatched: boolean;
  readonly pidfd: number | undefined;
  readonly startTicks: Promise<number | null>;
  watch: Watch | undefined;
  id: number | bigint | undefined;
  readonly #onUnused: (peer: WatchedPeer) => void;
  #holders = 0;
  #isClosed = false;
  #hasEnded = false;

  constructor({ uid, gid, pid }: PeerCredentials, pidfd: number | undefined, onUnused: (peer: WatchedPeer) => void) {
    this.uid = uid;
    this.gid = gid;
    this.pid = pid;
    this.isWatched = pidfd !== undefined;
    this.pidfd = pidfd;
    this.#onUnused = onUnused;
    this.startTicks = this.#findStart();
  }

  get hasEnded(): boolean {
    return this.#hasEnded || (this.pidfd !== undefined && !this.#isClosed && hasEnded(this.pidfd));
  }

  /** The same pid is the same process for as long as that process has not ended. */
  isSame({ uid, gid, pid }: PeerCredentials): boolean {
    const isAlive = this.pidfd !== undefined && !this.#isClosed && !this.hasEnded;
    return isAlive && this.uid === uid && this.gid === gid && this.pid === pid;
  }

  markEnded(): void {
    this.#hasEnded = true;
  }

  /** Another process may have the pid if this one ended during the read. */
  async #findStart(): Promise<number | null> {
    if (this.pid === null || this.pidfd === undefined) return null;
    const ticks = await processStartTicks(this.pid);
    return this.#isClosed || hasEnded(this.pidfd) ? null : ticks;
  }

  held(): this {
    this.hold();
    return this;
  }

  hold(): void {
    this.#holders++;
  }

  drop(): void {
    this.#holders--;
    if (this.#holders === 0) this.#onUnused(this);
  }

  unwatch(): void {
    this.watch?.end();
    if (this.pidfd !== undefined && !this.#isClosed) closeSync(this.pidfd);
    this.#isClosed = true;
  }
}

const tooMany = (): WorkerError =>
  new WorkerError('RATE_LIMITED', 'Too many processes have connections or leases', { retryAfterMs: 1000 });
