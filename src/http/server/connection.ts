import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { peerStateOf } from '../../vram/socket.js';
import { descriptorOf } from './node_internals.js';
import { type Reading, ReadProgress } from './read_progress.js';

/** A request and its response. */
interface Exchange {
  readonly response: ServerResponse;
  readonly run: () => void;
}

/** Requests that may wait behind the one in progress while the server reads on. */
const maxWaitingRequests = 1;

/**
 * One connection of a client. It runs pipelined requests one after the other, and stops reading while more than one of
 * them waits. With TLS, `socket` is the TLS socket above the TCP socket.
 */
export class Connection {
  readonly tcpSocket: Socket;
  /** The TLS handshake failed, so the client cannot read a response. */
  handshakeFailed = false;
  /** Called when the number of requests changes. */
  onChange: () => void = () => undefined;
  readonly #progress: ReadProgress;
  readonly #exchanges: Exchange[] = [];
  readonly #endListeners = new Set<() => void>();
  #socket: Socket;
  #latest: ServerResponse | undefined;
  #isInvalid = false;
  #isStopped = false;
  #hasEnded = false;

  constructor(tcpSocket: Socket) {
    this.tcpSocket = tcpSocket;
    this.#socket = tcpSocket;
    this.#progress = new ReadProgress(tcpSocket);
  }

  /** Node has begun to serve the connection. Its listeners on the socket must run before those of this class. */
  start(): void {
    this.#watch(this.tcpSocket);
  }

  /** The TLS socket replaces the TCP socket below it. */
  secure(tlsSocket: Socket): void {
    this.#socket = tlsSocket;
    this.#watch(tlsSocket);
  }

  /** The response to the most recent request. */
  get latest(): ServerResponse | undefined {
    return this.#latest;
  }

  /** Whether a response on the connection is not completely written. */
  get isAnswering(): boolean {
    return this.#latest?.writableFinished === false;
  }

  get isBusy(): boolean {
    return this.#exchanges.length > 0;
  }

  /** Requests behind the one in progress. */
  get waitingRequests(): number {
    return Math.max(0, this.#exchanges.length - 1);
  }

  /**
   * Runs a request after all earlier ones. Drops it behind invalid HTTP, and behind a response that closes the
   * connection (RFC 9112 §9.6).
   */
  accept(
    request: IncomingMessage,
    response: ServerResponse & { req: IncomingMessage },
    handler: RequestListener,
  ): void {
    if (this.#isInvalid) return;
    const exchange = { response, run: () => handler(request, response) };
    this.#latest = response;
    this.#exchanges.push(exchange);
    response.once('close', () => this.#finish(exchange));
    this.#update();
    if (this.#exchanges.length === 1) exchange.run();
  }

  /** The client sent invalid HTTP. The server reads nothing more from it, and runs no later request. */
  markInvalid(): void {
    this.#isInvalid = true;
    this.#update();
  }

  /** Calls the listener once when the client has closed its half, or at once if it has. Returns a function to cancel. */
  onEnd(listener: () => void): () => void {
    if (this.#hasEnded || this.#socket.readableEnded) listener();
    else this.#endListeners.add(listener);
    return () => this.#endListeners.delete(listener);
  }

  /** Whether the client reads its responses: see `ReadProgress`. */
  readingAt(nowMs: number, windowMs: number): Reading {
    return this.#progress.at(nowMs, windowMs, this.#socket.writableLength);
  }

  /** Notices a client that left while the server does not read. */
  checkPeer(): void {
    if (!this.#isStopped) return;
    const descriptor = descriptorOf(this.tcpSocket);
    const state = descriptor === undefined ? 'open' : peerStateOf(descriptor);
    if (state === 'closed') this.destroy();
    else if (state === 'half-closed') this.#end();
  }

  destroy(): void {
    this.#socket.destroy();
    this.tcpSocket.destroy();
  }

  #watch(socket: Socket): void {
    socket.once('end', () => this.#end());
    socket.once('close', () => {
      this.#exchanges.length = 0;
      this.onChange();
    });
    // Node resumes the socket after each request.
    socket.on('resume', () => {
      if (this.#isStopped && socket === this.#socket) socket.pause();
    });
  }

  #end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    for (const listener of this.#endListeners) listener();
    this.#endListeners.clear();
  }

  #finish(exchange: Exchange): void {
    const index = this.#exchanges.indexOf(exchange);
    if (index < 0) return;
    this.#exchanges.splice(index, 1);
    if (!this.#socket.writable) this.#exchanges.length = 0;
    this.#update();
    if (index === 0) this.#exchanges[0]?.run();
  }

  #update(): void {
    const stop = this.#isInvalid || this.waitingRequests > maxWaitingRequests;
    if (stop !== this.#isStopped) {
      this.#isStopped = stop;
      if (stop) this.#socket.pause();
      else this.#socket.resume();
    }
    this.onChange();
  }
}
