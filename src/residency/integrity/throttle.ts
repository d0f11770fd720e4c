import { setTimeout as sleep } from 'node:timers/promises';
import { WorkerError } from '../../errors.js';
import { digestSliceBytes, type Throttle } from '../../vram/slices.js';
import { groupBytes } from '../../vram/tree.js';
import type { ScrubRate } from './rate.js';

/** How often a waiting slice checks again whether it may run. */
const pollMs = 25;

/** How long after the last byte of a commit more bytes are expected. */
const quietMs = 250;

/** A verification catches up if less than this multiple of its expected time at full speed is left. */
const catchUpFactor = 2;

/** Detects whether a counter has changed within the last quarter of a second. */
export class ActivityDetector {
  #count = 0;
  #changedMs = Number.NEGATIVE_INFINITY;

  look(count: number, nowMs = performance.now()): boolean {
    if (count !== this.#count) this.#changedMs = nowMs;
    this.#count = count;
    return nowMs - this.#changedMs < quietMs;
  }
}

/** Whether other work needs the device. `busy`: the scrubber takes a share of the time. `paused`: it waits. */
export type Contention = 'free' | 'busy' | 'paused';

/** One verification, as its throttle sees it. */
export interface ScrubJob {
  readonly bytes: number;
  /** When it must end, on the monotonic clock, so that this and all later shards of the pass meet their deadlines. */
  readonly endByMs: number;
}

/**
 * Throttles one verification of the scrubber. It keeps the byte rate. While other work is active it takes only a share
 * of the time, until the deadline nears.
 */
export class ScrubThrottle implements Throttle {
  readonly #rate: ScrubRate;
  readonly #contention: () => Contention;
  readonly #endByMs: number;
  readonly #woken = new AbortController();
  #bytesLeft: number;
  #slice: { readonly bytes: number; readonly startedMs: number } | undefined;
  #expedited = false;
  #canceled = false;

  constructor(rate: ScrubRate, contention: () => Contention, { bytes, endByMs }: ScrubJob) {
    this.#rate = rate;
    this.#contention = contention;
    this.#bytesLeft = bytes;
    this.#endByMs = endByMs;
  }

  /** At most one second's worth of the rate, so that a small rate is not used in bursts. */
  get sliceBytes(): number {
    const fair = Math.floor(this.#rate.bytesPerSecond / groupBytes) * groupBytes;
    return this.#expedited ? digestSliceBytes : Math.min(digestSliceBytes, Math.max(groupBytes, fair));
  }

  /** Continues at full speed, even while scrubbing is paused: the shard is damaged, and its repair waits. */
  expedite(): void {
    this.#expedited = true;
    this.#woken.abort();
  }

  /** Ends the verification at its next slice. */
  cancel(): void {
    this.#canceled = true;
    this.#woken.abort();
  }

  get canceled(): boolean {
    return this.#canceled;
  }

  /** Waits until a slice may run. @throws WorkerError SHARD_BUSY if the verification was canceled */
  async ready(): Promise<void> {
    for (let waitMs = this.#waitMs(); waitMs > 0; waitMs = this.#waitMs()) {
      await sleep(waitMs, undefined, { signal: this.#woken.signal, ref: false }).catch(() => undefined);
    }
    if (this.#canceled) throw new WorkerError('SHARD_BUSY', 'The verification was canceled', { retryAfterMs: 1000 });
  }

  /** Ends the previous slice and waits for the next one. @throws as `ready` */
  async next(bytes: number): Promise<void> {
    this.end();
    await this.ready();
    this.#rate.take(bytes);
    this.#slice = { bytes, startedMs: performance.now() };
  }

  /** Ends the last slice. */
  end(): void {
    if (this.#slice === undefined) return;
    const { bytes, startedMs } = this.#slice;
    this.#slice = undefined;
    this.#bytesLeft -= bytes;
    this.#rate.record(bytes, performance.now() - startedMs);
  }

  #waitMs(): number {
    if (this.#woken.signal.aborted) return 0;
    const contention = this.#contention();
    if (contention === 'paused') return pollMs;
    const yields = contention === 'busy' && !this.#mustCatchUp();
    return Math.max(this.#rate.waitMs, yields ? Math.min(pollMs, this.#rate.restMs) : 0);
  }

  #mustCatchUp(): boolean {
    const leftMs = this.#endByMs - performance.now();
    return leftMs < this.#bytesLeft * this.#rate.msPerByte * catchUpFactor;
  }
}
