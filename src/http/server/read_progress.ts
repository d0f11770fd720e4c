import type { Socket } from 'node:net';
import { sentBytesOf } from './node_internals.js';

/** A client must read its responses at this rate, averaged over a window. */
const minReadBytesPerSecond = 16 * 1024;
export const readWindowMs = 60_000;

/**
 * - `nothing`: nothing is unread.
 * - `reading`: the client takes bytes.
 * - `stalled`: it took none since the last call.
 * - `slow`: it was slower than the minimum for a whole window.
 */
export type Reading = 'nothing' | 'reading' | 'stalled' | 'slow';

/** Measures how fast a client takes the bytes of its responses. */
export class ReadProgress {
  readonly #tcpSocket: Socket;
  #windowStart: { readonly ms: number; readonly bytes: number } | undefined;
  #previousBytes = 0;

  constructor(tcpSocket: Socket) {
    this.#tcpSocket = tcpSocket;
  }

  /** The progress since the last call. `unreadBytes` are those that the socket still holds. */
  at(nowMs: number, windowMs: number, unreadBytes: number): Reading {
    if (unreadBytes === 0) {
      this.#windowStart = undefined;
      return 'nothing';
    }
    const bytes = sentBytesOf(this.#tcpSocket);
    const isNew = this.#windowStart === undefined;
    this.#windowStart ??= { ms: nowMs, bytes };
    const isStalled = !isNew && bytes === this.#previousBytes;
    this.#previousBytes = bytes;
    const elapsedMs = nowMs - this.#windowStart.ms;
    if (elapsedMs >= windowMs) {
      const isSlow = (bytes - this.#windowStart.bytes) * 1000 < minReadBytesPerSecond * elapsedMs;
      this.#windowStart = { ms: nowMs, bytes };
      if (isSlow) return 'slow';
    }
    return isStalled ? 'stalled' : 'reading';
  }
}
