import type { Socket } from 'node:net';
import { networkOf } from './network.js';

/** Connections that the worker accepts before it serves one, while more of them arrive. */
const maxSkippedTurns = 8;

/**
 * New connections that are not served yet. Networks take turns, so a network that opens many connections delays its own
 * and not those of the others. To accept a connection is cheap; to serve it takes a TLS handshake, or a request.
 */
export class AcceptQueue {
  readonly #serve: (socket: Socket) => void;
  /** In the order of their turns. */
  readonly #byNetwork = new Map<string, Set<Socket>>();
  #hasNew = false;
  #skippedTurns = 0;
  #isScheduled = false;

  constructor(serve: (socket: Socket) => void) {
    this.#serve = serve;
  }

  /** Serves the connection later, unless it closes before. */
  add(socket: Socket): void {
    const network = networkOf(socket.remoteAddress ?? '');
    const waiting = this.#byNetwork.get(network) ?? new Set<Socket>();
    this.#byNetwork.set(network, waiting.add(socket));
    socket.once('close', () => this.#remove(network, socket));
    this.#hasNew = true;
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled || this.#byNetwork.size === 0) return;
    this.#isScheduled = true;
    setImmediate(() => this.#takeTurn());
  }

  /** libuv accepts one connection in each turn of the event loop, so a turn without one shows that none is left. */
  #takeTurn(): void {
    this.#isScheduled = false;
    const isSkipped = this.#hasNew && this.#skippedTurns < maxSkippedTurns;
    this.#hasNew = false;
    this.#skippedTurns = isSkipped ? this.#skippedTurns + 1 : 0;
    if (!isSkipped) this.#serveNext();
    this.#schedule();
  }

  #serveNext(): void {
    const [next] = this.#byNetwork;
    if (next === undefined) return;
    const [network, waiting] = next;
    const [socket] = waiting;
    if (socket === undefined) return;
    this.#remove(network, socket);
    if (waiting.size > 0) {
      this.#byNetwork.delete(network);
      this.#byNetwork.set(network, waiting);
    }
    // A socket emits `close` a moment after it is destroyed.
    if (!socket.destroyed) this.#serve(socket);
  }

  #remove(network: string, socket: Socket): void {
    const waiting = this.#byNetwork.get(network);
    waiting?.delete(socket);
    if (waiting?.size === 0) this.#byNetwork.delete(network);
  }
}
