import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import { descriptorShares, probeDescriptors } from '../../runtime/open_files.js';
import type { Connection } from './connection.js';
import { type ConnectionKind, ConnectionPool } from './connection_pool.js';
import { networkOf } from './network.js';
import { tcpSocketOf } from './node_internals.js';
import { readWindowMs } from './read_progress.js';
import { connectionOf, secureConnection } from './request_state.js';

const isProbe = ({ url = '' }: IncomingMessage): boolean => /^\/(?:livez|readyz)(?:$|\?)/.test(url);

/** Pipelined requests that wait in the whole process. Each takes about 5 KB. */
const maxWaitingRequests = 10_000;

export interface ConnectionOptions {
  /** Open connections at one time. The limit of open files can lower it. */
  readonly maxConnections: number;
  /** Whether the worker also needs descriptors for processes that attach shards. */
  readonly sharesWithAttach?: boolean;
  /** Open connections of one address, or of one IPv6 /64 network. By default half of `maxConnections`. */
  readonly maxPerAddress?: number | undefined;
  /** A client must read its responses at the minimum rate, averaged over this time. */
  readonly unreadTimeoutMs?: number;
  /** A connection in a probe place must send its request in this time. */
  readonly probeTimeoutMs?: number;
  /** Time between two looks at the progress of each connection. */
  readonly tickMs?: number;
}

const defaults = { unreadTimeoutMs: readWindowMs, probeTimeoutMs: 1000, tickMs: 500 };

/** Why the server closed a connection. */
export const closeReasons = ['unread', 'idle', 'no_place', 'slow_reader', 'pipelining'] as const;
export type CloseReason = (typeof closeReasons)[number];

/**
 * The open connections of a server. At a limit it closes one whose client does not read, else the one that has been idle
 * longest: with an incomplete head, or between requests. If all are busy, the new one gets a probe place: it is closed
 * unless it asks for a probe at once.
 */
export class Connections {
  /** Open connections at one time, those in probe places aside. */
  readonly limit: number;
  readonly #options: ConnectionOptions & typeof defaults;
  readonly #all: ConnectionPool;
  readonly #byNetwork = new Map<string, ConnectionPool>();
  readonly #maxPerNetwork: number;
  /** The network of each connection that has a place. */
  readonly #networks = new Map<Connection, string>();
  readonly #probes = new Map<Connection, NodeJS.Timeout>();
  readonly #closed = new Map<CloseReason, number>();
  readonly #waitingRequests = new Map<Connection, number>();
  #waitingTotal = 0;

  constructor(options: ConnectionOptions) {
    this.limit = Math.min(options.maxConnections, descriptorShares({ attach: options.sharesWithAttach }).connections);
    this.#options = { ...defaults, ...options };
    this.#all = new ConnectionPool(this.limit);
    this.#maxPerNetwork = Math.min(this.limit, options.maxPerAddress ?? Math.ceil(this.limit / 2));
  }

  /** Counts the connections of a server. */
  attach(server: Server): void {
    server.on('connection', (socket: Socket) => this.#add(connectionOf(socket), socket));
    server.on('secureConnection', (tlsSocket: Socket) => {
      const tcpSocket = tcpSocketOf(tlsSocket);
      if (tcpSocket !== undefined) secureConnection(tcpSocket, tlsSocket);
    });
    // Node closes only those of which it has begun to read requests: none in the queue, and none in a TLS handshake.
    server.closeAllConnections = () => this.#destroyAll();
    const timer = setInterval(() => this.#tick(performance.now()), this.#options.tickMs);
    timer.unref();
    server.once('close', () => clearInterval(timer));
  }

  /** Open connections by kind. `probe` counts those beyond the limit. */
  get counts(): Readonly<Record<ConnectionKind | 'probe', number>> {
    return { ...this.#all.counts, probe: this.#probes.size };
  }

  /** Connections that the server closed, by reason. */
  get closed(): ReadonlyMap<CloseReason, number> {
    return this.#closed;
  }

  /** Whether a request may run. In a probe place only a probe may, if no place is free. Otherwise closes the connection. */
  allows(connection: Connection, request: IncomingMessage): boolean {
    const timer = this.#probes.get(connection);
    if (timer === undefined) return true;
    clearTimeout(timer);
    if (isProbe(request)) return true;
    this.#probes.delete(connection);
    if (this.#take(connection, networkOf(connection.tcpSocket.remoteAddress ?? ''))) return true;
    this.#close(connection, 'no_place');
    return false;
  }

  /** Whether the connection has no place, so that it must close after its response. */
  isProbe(connection: Connection): boolean {
    return this.#probes.has(connection);
  }

  #add(connection: Connection, { remoteAddress = '' }: Socket): void {
    connection.onChange = () => this.#changed(connection);
    connection.tcpSocket.once('close', () => this.#forget(connection));
    if (!this.#take(connection, networkOf(remoteAddress))) this.#addProbe(connection);
  }

  /** Takes a place for a connection, if there is one or another connection can be closed for it. */
  #take(connection: Connection, network: string): boolean {
    const own = this.#byNetwork.get(network) ?? new ConnectionPool(this.#maxPerNetwork);
    for (const pool of [own, this.#all]) {
      while (pool.isFull) {
        const [victim, reason] = pool.victim() ?? [];
        if (victim === undefined || reason === undefined) return false;
        this.#close(victim, reason);
      }
    }
    this.#byNetwork.set(network, own);
    this.#networks.set(connection, network);
    for (const pool of [own, this.#all]) pool.add(connection, connection.isBusy ? 'busy' : 'idle');
    return true;
  }

  /** Beyond the places it closes the connection that has waited longest. */
  #addProbe(connection: Connection): void {
    const [longest] = this.#probes.keys();
    if (this.#probes.size >= probeDescriptors && longest !== undefined) this.#close(longest, 'no_place');
    const timer = setTimeout(() => this.#close(connection, 'no_place'), this.#options.probeTimeoutMs);
    this.#probes.set(connection, timer);
  }

  #destroyAll(): void {
    for (const connection of [...this.#networks.keys(), ...this.#probes.keys()]) connection.destroy();
  }

  #close(connection: Connection, reason: CloseReason): void {
    this.#closed.set(reason, (this.#closed.get(reason) ?? 0) + 1);
    this.#forget(connection);
    connection.destroy();
  }

  #forget(connection: Connection): void {
    clearTimeout(this.#probes.get(connection));
    this.#probes.delete(connection);
    this.#countWaiting(connection, 0);
    const network = this.#networks.get(connection);
    if (network === undefined) return;
    this.#networks.delete(connection);
    this.#all.remove(connection);
    const own = this.#byNetwork.get(network);
    own?.remove(connection);
    if (own?.size === 0) this.#byNetwork.delete(network);
  }

  #changed(connection: Connection): void {
    this.#countWaiting(connection, connection.waitingRequests);
    this.#classify(connection, connection.isBusy ? 'busy' : 'idle');
    while (this.#waitingTotal > maxWaitingRequests) {
      const [first] = this.#waitingRequests.entries();
      if (first === undefined) return;
      let [longest, most] = first;
      for (const [one, count] of this.#waitingRequests) if (count > most) [longest, most] = [one, count];
      this.#close(longest, 'pipelining');
    }
  }

  #countWaiting(connection: Connection, count: number): void {
    if (count === 0 && this.#waitingTotal === 0) return;
    this.#waitingTotal += count - (this.#waitingRequests.get(connection) ?? 0);
    if (count === 0) this.#waitingRequests.delete(connection);
    else this.#waitingRequests.set(connection, count);
  }

  #classify(connection: Connection, kind: ConnectionKind): void {
    const network = this.#networks.get(connection);
    if (network === undefined) return;
    this.#all.move(connection, kind);
    this.#byNetwork.get(network)?.move(connection, kind);
  }

  #tick(nowMs: number): void {
    for (const connection of this.#networks.keys()) {
      const reading = connection.readingAt(nowMs, this.#options.unreadTimeoutMs);
      if (reading === 'slow') this.#close(connection, 'slow_reader');
      else if (reading === 'stalled') this.#classify(connection, 'unread');
      else this.#classify(connection, connection.isBusy ? 'busy' : 'idle');
      connection.checkPeer();
    }
  }
}
