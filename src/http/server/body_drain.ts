import type { IncomingMessage } from 'node:http';
import { networkOf } from './network.js';

/** A sender must keep this rate, or the worker stops reading. */
const minBytesPerSecond = 64 * 1024;
const maxDrainMs = 30_000;
const checkMs = 2000;
const minCheckBytes = (minBytesPerSecond * checkMs) / 1000;

/** The rest of the body of a refused request, which the worker reads and discards. */
export class BodyDrain {
  /** The network of the sender. */
  readonly network: string;
  /** Resolves when the worker no longer reads. Never rejects. */
  readonly done: Promise<void>;
  readonly #request: IncomingMessage;
  readonly #timers: NodeJS.Timeout[] = [];
  #resolve: () => void = () => undefined;
  #isActive = false;
  #bytes = 0;
  #allowedBytes = 0;

  constructor(request: IncomingMessage) {
    this.#request = request;
    this.network = networkOf(request.socket.remoteAddress ?? '');
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#timers.push(setTimeout(this.stop, maxDrainMs));
    request.once('end', this.stop).once('close', this.stop).once('error', this.stop);
  }

  /** Starts to read. `allow` says how much. */
  start(): void {
    let previousBytes = 0;
    const check = () => {
      if (this.#bytes - previousBytes < minCheckBytes) this.stop();
      previousBytes = this.#bytes;
    };
    this.#isActive = true;
    this.#timers.push(setTimeout(this.stop, maxDrainMs), setInterval(check, checkMs));
    this.#request.on('data', this.#onData);
  }

  /** Lets the worker read this many bytes more. */
  allow(bytes: number): void {
    this.#allowedBytes = bytes;
    if (this.#isActive) this.#request.resume();
  }

  readonly stop = (): void => {
    this.#isActive = false;
    for (const timer of this.#timers) clearTimeout(timer);
    const { stop } = this;
    this.#request.off('data', this.#onData).off('end', stop).off('close', stop).off('error', stop);
    this.#request.pause();
    this.#resolve();
  };

  readonly #onData = (chunk: Buffer): void => {
    this.#bytes += chunk.length;
    this.#allowedBytes -= chunk.length;
    if (this.#allowedBytes <= 0) this.#request.pause();
  };
}
