import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { tcpSocketOf } from './node_internals.js';

/** File descriptors reserved for libraries, models and logs. */
const reservedDescriptors = 128;

/**
 * Limits the open connections of a server. Beyond the limit it closes the connection that has been idle longest: one
 * with an incomplete head, or a keep-alive connection. If all others are busy, it closes the new one.
 */
export class ConnectionLimit {
  readonly #limit: number;
  readonly #idle = new Set<Socket>();
  #count = 0;

  constructor(server: Server, limit: number) {
    this.#limit = limit;
    server.on('connection', (socket) => this.#add(socket));
    // Requests refer to the TLS socket. The TCP socket below it was counted.
    server.on('secureConnection', (socket: Socket) => this.#replace(tcpSocketOf(socket), socket));
  }

  /** A request began on the connection. */
  markBusy(socket: Socket): void {
    this.#idle.delete(socket);
  }

  /** The last request on the connection ended. */
  markIdle(socket: Socket): void {
    if (!socket.destroyed) this.#idle.add(socket);
  }

  #replace(tcpSocket: Socket | undefined, tlsSocket: Socket): void {
    if (tcpSocket !== undefined) this.#idle.delete(tcpSocket);
    this.#idle.add(tlsSocket);
    tlsSocket.once('close', () => this.#idle.delete(tlsSocket));
  }

  #add(socket: Socket): void {
    this.#count++;
    socket.once('close', () => {
      this.#count--;
      this.#idle.delete(socket);
    });
    this.#idle.add(socket);
    if (this.#count <= this.#limit) return;
    const [longestIdle] = this.#idle;
    longestIdle?.destroy();
  }
}

/** The most connections that the process's limit of open files allows; proc_pid_limits(5). */
export function maxConnectionsFromLimits(): number {
  try {
    const [, soft] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
    return soft === undefined ? Number.POSITIVE_INFINITY : Math.max(1, Number(soft) - reservedDescriptors);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
