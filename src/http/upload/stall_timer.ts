import type { IncomingMessage } from 'node:http';
import { awaitsContinue } from '../server/http_server.js';

/** Below this a client only holds a slot: 1 KiB a second. */
const leastBytesPerSecond = 1024;

/**
 * Watches that a body keeps coming: some byte within every `idleSeconds`, and over as long a time at least 1 KiB/s.
 * Time in which we hold the client back is not the client's. Counting a chunk is one addition; all else is done by a
 * timer, four times in each idle span.
 */
export class StallTimer {
  /** Add each chunk's length here. */
  bytes = 0;
  /** True while it is we who do not read. */
  held = false;
  readonly #timer: NodeJS.Timeout;
  readonly #idleMs: number;
  #seenBytes = 0;
  #silentMs = 0;
  #windowMs = 0;
  #windowBytes = 0;

  constructor(idleSeconds: number, onStall: (detail: string) => void) {
    this.#idleMs = idleSeconds * 1000;
    const periodMs = this.#idleMs / 4;
    this.#timer = setInterval(() => {
      const detail = this.#look(periodMs);
      if (detail !== undefined) onStall(detail);
    }, periodMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Called before each look, for bodies whose bytes nobody counts as they come. */
  protected measure(): void {}

  #look(periodMs: number): string | undefined {
    this.measure();
    const arrived = this.bytes - this.#seenBytes;
    this.#seenBytes = this.bytes;
    if (this.held) return undefined;
    this.#silentMs = arrived === 0 ? this.#silentMs + periodMs : 0;
    this.#windowMs += periodMs;
    this.#windowBytes += arrived;
    if (this.#silentMs >= this.#idleMs) return `No byte of the body arrived for ${this.#idleMs / 1000} seconds`;
    if (this.#windowMs < this.#idleMs) return undefined;
    const enough = this.#windowBytes >= (leastBytesPerSecond * this.#windowMs) / 1000;
    this.#windowMs = 0;
    this.#windowBytes = 0;
    return enough ? undefined : `The body came slower than ${leastBytesPerSecond} bytes a second`;
  }
}

/**
 * Watches a body that is not read yet, by what has arrived of it unasked: Node takes so much in, and then holds the
 * client back. One that waits for `100 Continue` owes nothing.
 */
export class QueuedStallTimer extends StallTimer {
  readonly #source: IncomingMessage;

  constructor(source: IncomingMessage, idleSeconds: number, onStall: (detail: string) => void) {
    super(idleSeconds, onStall);
    this.#source = source;
  }

  protected override measure(): void {
    const { readableLength, readableHighWaterMark, complete } = this.#source;
    this.bytes = readableLength;
    this.held = complete || readableLength >= readableHighWaterMark || awaitsContinue(this.#source);
  }
}
