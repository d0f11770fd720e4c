import { closeSync } from 'node:fs';
import type { LeasePeer } from '../residency/state/lease.js';
import { hasEnded, type PeerCredentials, peerPidfd } from '../vram/peer_process.js';
import type { Poller, Watch } from '../vram/poller.js';

/**
 * The processes that have connections or leases. Each has one pidfd, which is open until the process has ended or needs
 * nothing any more.
 */
export class Peers {
  readonly #poller: Poller;
  readonly #onEnd: (peer: LeasePeer) => void;
  readonly #byPid = new Map<number, WatchedPeer>();
  readonly #all = new Set<WatchedPeer>();

  /** `onEnd` is called when a process has ended. */
  constructor(poller: Poller, onEnd: (peer: LeasePeer) => void) {
    this.#poller = poller;
    this.#onEnd = onEnd;
  }

  /** The process at the other end of a connection, held once. */
  of(descriptor: number, credentials: PeerCredentials): LeasePeer {
    const known = credentials.pid === null ? undefined : this.#byPid.get(credentials.pid);
    if (known?.isSame(credentials)) return known.held();
    const pidfd = peerPidfd(descriptor, credentials.pid);
    const peer = new WatchedPeer(credentials, pidfd, () => this.#forget(peer));
    if (pidfd !== undefined) {
      peer.watch = this.#poller.watch(pidfd, { readable: true, writable: false }, () => this.#ended(peer));
      if (credentials.pid !== null) this.#byPid.set(credentials.pid, peer);
    }
    this.#all.add(peer);
    return peer.held();
  }

  /** Closes all pidfds. */
  close(): void {
    for (const peer of this.#all) peer.unwatch();
    this.#all.clear();
    this.#byPid.clear();
  }

  #ended(peer: WatchedPeer): void {
    this.#forget(peer);
    this.#onEnd(peer);
  }

  #forget(peer: WatchedPeer): void {
    peer.unwatch();
    this.#all.delete(peer);
    if (peer.pid !== null && this.#byPid.get(peer.pid) === peer) this.#byPid.delete(peer.pid);
  }
}

class WatchedPeer implements LeasePeer {
  readonly uid: number;
  readonly gid: number;
  readonly pid: number | null;
  readonly isWatched: boolean;
  watch: Watch | undefined;
  readonly #pidfd: number | undefined;
  readonly #onUnused: () => void;
  #holders = 0;
  #isClosed = false;

  constructor({ uid, gid, pid }: PeerCredentials, pidfd: number | undefined, onUnused: () => void) {
    this.uid = uid;
    this.gid = gid;
    this.pid = pid;
    this.isWatched = pidfd !== undefined;
    this.#pidfd = pidfd;
    this.#onUnused = onUnused;
  }

  /** The same pid is the same process for as long as that process has not ended. */
  isSame({ uid, gid, pid }: PeerCredentials): boolean {
    const isAlive = this.#pidfd !== undefined && !this.#isClosed && !hasEnded(this.#pidfd);
    return isAlive && this.uid === uid && this.gid === gid && this.pid === pid;
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
    if (this.#holders === 0) this.#onUnused();
  }

  unwatch(): void {
    this.watch?.end();
    if (this.#pidfd !== undefined && !this.#isClosed) closeSync(this.#pidfd);
    this.#isClosed = true;
  }
}
