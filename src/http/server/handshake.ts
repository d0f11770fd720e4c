import type { Socket } from 'node:net';

const failed = new WeakSet<Socket>();

/** A connection never came to speak TLS. */
export function markFailedHandshake(socket: Socket): void {
  failed.add(socket);
}

/** Whether a connection never came to speak TLS: there is nobody to answer. */
export const isFailedHandshake = (socket: Socket): boolean => failed.has(socket);
