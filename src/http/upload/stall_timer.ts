import type { IncomingMessage } from 'node:http';
import { requestState } from '../server/request_state.js';

/** 1 KiB/s. A slower client only occupies a commit slot. */
const minBytesPerSecond = 1024;

/** The contended rate of an upload is averaged over this time. */
export const contendedWindowSeconds = 30;

const checksPerIdleTime = 4;
const maxPeriodMs = 7500;

/** A minimum rate that applies only while others wait. */
export interface ContendedRate {
  /** 0 turns it off. */
  readonly minBytesPerSecond: number;
  /** The time over which the rate is averaged. */
  readonly windowSeconds: number;
  readonly isContended: () => boolean;
}

/**
 * Times out a body that stalls: no byte for `idleSeconds`, or less than 1 KiB/s over that time. While others wait, a
 * higher rate applies. Time in which the worker does not read is excluded. Counting a chunk costs one addition; a timer
 * does the rest.
 */
export class StallTimer {
  /** Bytes that arrived. The owner adds the length of each chunk. */
  bytes = 0;
  /** True while the worker does not read. */
  paused = false;
  readonly #timer: NodeJS.Timeout;
  readonly #idleMs: number;
  readonly #contended: ContendedRate | undefined;
  /** The bytes of the last periods, up to the window of the contended rate. */
  readonly #recentBytes: number[] = [];
  #previousBytes = 0;
  #silentMs = 0;
  #windowMs = 0;
  #windowBytes = 0;

  /** @param onStall receives the detail of the error */
  constructor(idleSeconds: number, onStall: (detail: string) => void, contended?: ContendedRate) {
    this.#idleMs = idleSeconds * 1000;
    this.#contended = contended;
    const periodMs = Math.min(this.#idleMs / checksPerIdleTime, maxPeriodMs);
    this.#timer = setInterval(() => {
      const detail = this.#check(periodMs);
      if (detail !== undefined) onStall(detail);
    }, periodMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Runs before each check. Subclasses update `bytes` and `paused` here. */
  protected measure(): void {}

  #check(periodMs: number): string | undefined {
    this.measure();
    const arrived = this.bytes - this.#previousBytes;
    this.#previousBytes = this.bytes;
    if (this.paused) return undefined;
    return this.#checkIdle(arrived, periodMs) ?? this.#checkContended(arrived, periodMs);
  }

  #checkIdle(arrived: number, periodMs: number): string | undefined {
    this.#silentMs = arrived === 0 ? this.#silentMs + periodMs : 0;
    this.#windowMs += periodMs;
    this.#windowBytes += arrived;
    if (this.#silentMs >= this.#idleMs) return `The body stalled: no byte arrived for ${this.#idleMs / 1000} seconds`;
    if (this.#windowMs < this.#idleMs) return undefined;
    const isFastEnough = this.#windowBytes >= (minBytesPerSecond * this.#windowMs) / 1000;
    this.#windowMs = 0;
    this.#windowBytes = 0;
    return isFastEnough ? undefined : `The body was slower than ${minBytesPerSecond} bytes per second`;
  }

  #checkContended(arrived: number, periodMs: number): string | undefined {
    if (this.#contended === undefined) return undefined;
    const { minBytesPerSecond, windowSeconds, isContended } = this.#contended;
    const periods = Math.ceil((windowSeconds * 1000) / periodMs);
    this.#recentBytes.push(arrived);
    if (this.#recentBytes.length > periods) this.#recentBytes.shift();
    if (this.#recentBytes.length < periods || !isContended()) return undefined;
    const bytes = this.#recentBytes.reduce((sum, part) => sum + part, 0);
    if (bytes * 1000 >= minBytesPerSecond * periods * periodMs) return undefined;
    return `The body was slower than ${minBytesPerSecond} bytes per second while other commits waited for a slot`;
  }
}

/**
 * Times out a body that waits for a commit slot. The worker does not read it yet, so Node buffers up to the high-water
 * mark and then stops the client. A client that waits for `100 Continue` is not timed.
 */
export class QueuedStallTimer extends StallTimer {
  readonly #request: IncomingMessage;

  constructor(request: IncomingMessage, idleSeconds: number, onStall: (detail: string) => void) {
    super(idleSeconds, onStall);
    this.#request = request;
  }

  protected override measure(): void {
    const { readableLength, readableHighWaterMark, complete } = this.#request;
    const isFull = readableLength >= readableHighWaterMark;
    this.bytes = readableLength;
    this.paused = complete || isFull || requestState(this.#request).awaitsContinue;
  }
}
