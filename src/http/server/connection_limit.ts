import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/** File descriptors that connections leave to everything else: libraries, models, logs. */
const reservedDescriptors = 128;

/**
 * Holds the connections of a server to a number. Where one more comes, the one that has waited longest without a request
 * goes: a head that trickles in, or a client that keeps its connection and asks nothing. Only where all are at work is
 * the new one refused.
 */
export class ConnectionLimit {
  readonly #limit: number;
  readonly #idle = new Set<Socket>();
  #count = 0;

  constructor(server: Server, limit: number) {
    this.#limit = limit;
    server.on('connection', (socket) => this.#add(socket));
    // Requests come by the socket that speaks TLS; what was counted is the one under it.
    server.on('secureConnection', (socket: Socket) => this.#replace(Reflect.get(socket, '_parent'), socket));
  }

  /** A request has come on the connection. */
  busy(socket: Socket): void {
    this.#idle.delete(socket);
  }

  /** The connection has no request under way any more. */
  idle(socket: Socket): void {
    if (!socket.destroyed) this.#idle.add(socket);
  }

  #replace(raw: unknown, secure: Socket): void {
    this.#idle.delete(raw as Socket);
    this.#idle.add(secure);
    secure.once('close', () => this.#idle.delete(secure));
  }

  #add(socket: Socket): void {
    this.#count++;
    socket.once('close', () => {
      this.#count--;
      this.#idle.delete(socket);
    });
    this.#idle.add(socket);
    if (this.#count <= this.#limit) return;
    const [oldest] = this.#idle;
    oldest?.destroy();
  }
}

/** How many connections the process's limit of open files leaves room for; proc_pid_limits(5). */
export function maxConnectionsFromLimits(): number {
  try {
    const [, soft] = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
    return soft === undefined ? Number.POSITIVE_INFINITY : Math.max(1, Number(soft) - reservedDescriptors);
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
