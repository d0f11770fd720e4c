import { closeSync } from 'node:fs';
import type { DescriptorSocket } from '../vram/descriptor_socket.js';
import type { Poller } from '../vram/poller.js';

const lingerMs = 1000;
const maxReadBytes = 64 * 1024;

/**
 * Refused connections. A client greets before it reads: if its connection were closed at once, its write would fail, and it
 * would not read why.
 */
export class RefusedConnections {
  readonly #poller: Poller;
  readonly #maxOpen: number;
  readonly #open = new Set<() => void>();

  /** Beyond `maxOpen`, refused connections are closed at once. */
  constructor(poller: Poller, maxOpen = 64) {
    this.#poller = poller;
    this.#maxOpen = maxOpen;
  }

  /** Sends the refusal, and closes the socket when the client has sent its greeting. Owns the socket. */
  refuse(socket: DescriptorSocket, frame: Uint8Array): void {
    try {
      socket.send(frame);
    } catch {
      return void socket.close();
    }
    if (this.#open.size >= this.#maxOpen) return void socket.close();
    const interest = { readable: true, writable: false };
    const watch = this.#poller.watch(socket.descriptor, interest, () => {
      discard(socket);
      close();
    });
    const timer = setTimeout(() => close(), lingerMs).unref();
    const close = () => {
      clearTimeout(timer);
      watch.end();
      socket.close();
      this.#open.delete(close);
    };
    this.#open.add(close);
  }

  close(): void {
    for (const close of this.#open) close();
  }
}

/** Unread bytes would turn the end of the connection into an error. */
function discard(socket: DescriptorSocket): void {
  try {
    for (const descriptor of socket.receive(maxReadBytes, 0)?.descriptors ?? []) closeSync(descriptor);
  } catch {
    // The client has left.
  }
}
