import { closeSync } from 'node:fs';
import type { Poller, Watch } from '../vram/poller.js';
import type { UnixListener } from '../vram/unix_socket.js';

/** Connections that are accepted before open sessions are served. */
const acceptsPerTurn = 16;

/** How long no connection is accepted if the process has no free descriptor. */
const pauseMs = 100;

export interface AcceptorHandler {
  /** Takes a connection, which is closed after the call: the handler duplicates it. @throws Error if no descriptor is free */
  accept(descriptor: number): void;
  log(message: string, error: unknown): void;
}

/** Accepts the connections of a listening socket. */
export class Acceptor {
  readonly #listener: UnixListener;
  readonly #handler: AcceptorHandler;
  readonly #watch: Watch;
  #isClosed = false;

  constructor(poller: Poller, listener: UnixListener, handler: AcceptorHandler) {
    this.#listener = listener;
    this.#handler = handler;
    this.#watch = poller.watch(listener.descriptor, { readable: true, writable: false }, () => this.#acceptAll());
  }

  close(): void {
    this.#isClosed = true;
    this.#watch.end();
  }

  #acceptAll(): void {
    try {
      for (let count = 0; count < acceptsPerTurn; count++) {
        const descriptor = this.#listener.accept();
        if (descriptor === undefined) return;
        this.#accept(descriptor);
      }
    } catch (error) {
      this.#handler.log('connections cannot be accepted', error);
      this.#pause();
    }
  }

  #accept(descriptor: number): void {
    try {
      this.#handler.accept(descriptor);
    } finally {
      closeSync(descriptor);
    }
  }

  #pause(): void {
    this.#watch.set({ readable: false, writable: false });
    setTimeout(() => {
      if (!this.#isClosed) this.#watch.set({ readable: true, writable: false });
    }, pauseMs).unref();
  }
}
