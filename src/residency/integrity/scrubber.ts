import { setTimeout as sleep } from 'node:timers/promises';
import type { Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';
import { ActivityDetector, type Contention, RateBudget, ScrubThrottle } from './throttle.js';
import type { Verifier } from './verifier.js';

/** How often a due pass checks whether scrubbing is still paused. */
const pausePollMs = 100;

export const scrubStates = ['off', 'waiting', 'running', 'paused'] as const;

/** The progress of the scrubber. A field changes only with an event, never with time. */
export interface ScrubStatus {
  readonly state: (typeof scrubStates)[number];
  readonly periodSeconds: number;
  readonly bytesPerSecond: number;
  /** Of the current pass, or of the last one. */
  readonly shardsDone: number;
  readonly shardsTotal: number;
  readonly passes: number;
  readonly verifiedBytes: number;
  /** Shards that were damaged or could not be verified. */
  readonly failures: number;
  readonly lastPassFinishedAtMs: number | null;
}

/**
 * Verifies sealed shards in the background, oldest verification first: one pass per period, within a budget of bytes per
 * second, behind all other work. A shard that cannot be verified delays no other, and no error ends the scrubber.
 */
export class Scrubber {
  readonly #worker: WorkerState;
  readonly #verifier: Verifier;
  readonly #periodSeconds: number;
  readonly #budget: RateBudget;
  readonly #stopped = new AbortController();
  readonly #receiving = new ActivityDetector();
  #running = false;
  #paused = false;
  #shardsDone = 0;
  #shardsTotal = 0;
  #passes = 0;
  #verifiedBytes = 0;
  #failures = 0;
  #lastPassFinishedAtMs: number | null = null;

  constructor(worker: WorkerState, verifier: Verifier) {
    this.#worker = worker;
    this.#verifier = verifier;
    this.#periodSeconds = worker.options.scrubSeconds;
    this.#budget = new RateBudget(worker.options.scrubBytesPerSecond);
  }

  /** Runs until `stop`. */
  start(): void {
    if (this.#periodSeconds > 0) void this.#loop(this.#stopped.signal);
  }

  /** Stops permanently. A verification that no caller waits for ends at its next slice. */
  stop(): void {
    this.#stopped.abort();
    for (const shard of this.#worker.shards.all()) shard.scrub?.cancel();
  }

  /** Pauses from the next slice on, or resumes. */
  pause(paused: boolean): void {
    if (this.#paused === paused) return;
    this.#paused = paused;
    const { audit, lifecycle } = this.#worker;
    audit.appendBestEffort(paused ? 'ScrubPaused' : 'ScrubResumed', paused ? 'warning' : 'info', {});
    lifecycle.bumpRevision();
  }

  get status(): ScrubStatus {
    const state = this.#running ? 'running' : 'waiting';
    return {
      state: this.#periodSeconds === 0 ? 'off' : this.#paused ? 'paused' : state,
      periodSeconds: this.#periodSeconds,
      bytesPerSecond: this.#budget.bytesPerSecond,
      shardsDone: this.#shardsDone,
      shardsTotal: this.#shardsTotal,
      passes: this.#passes,
      verifiedBytes: this.#verifiedBytes,
      failures: this.#failures,
      lastPassFinishedAtMs: this.#lastPassFinishedAtMs,
    };
  }

  async #loop(signal: AbortSignal): Promise<void> {
    const rest = (ms: number) => sleep(ms, undefined, { signal, ref: false }).catch(() => undefined);
    let restMs = this.#periodSeconds * 1000;
    while (!signal.aborted) {
      await rest(restMs);
      while (this.#paused && !signal.aborted) await rest(pausePollMs);
      const startedMs = performance.now();
      await this.#pass(startedMs, signal).catch((error: unknown) => this.#worker.driverHealth.report(error));
      restMs = Math.max(0, startedMs + this.#periodSeconds * 1000 - performance.now());
    }
  }

  /** Verifies each sealed shard whose last verification is older than this pass. */
  async #pass(startedMs: number, signal: AbortSignal): Promise<void> {
    const due = this.#worker.shards.all().filter((shard) => verifiedMs(shard) < startedMs);
    due.sort((a, b) => verifiedMs(a) - verifiedMs(b));
    this.#setProgress(true, 0, due.length);
    try {
      for (const [index, shard] of due.entries()) {
        if (signal.aborted) return;
        if (verifiedMs(shard) < startedMs) await this.#scrub(shard);
        this.#setProgress(true, index + 1, due.length);
      }
      this.#passes++;
      this.#lastPassFinishedAtMs = Date.now();
    } finally {
      this.#setProgress(false, this.#shardsDone, this.#shardsTotal);
    }
  }

  async #scrub(shard: Shard): Promise<void> {
    const throttle = new ScrubThrottle(this.#budget, () => this.#contention());
    try {
      const { verified, bytes } = await this.#verifier.scrub(shard, throttle);
      if (verified) this.#verifiedBytes += bytes;
      else this.#failures++;
    } catch {
      // The verifier has reported the error. The shard is due again in the next pass.
      if (!throttle.canceled) this.#failures++;
    }
  }

  #setProgress(running: boolean, done: number, total: number): void {
    this.#running = running;
    this.#shardsDone = done;
    this.#shardsTotal = total;
    this.#worker.lifecycle.bumpRevision();
  }

  /** Commits use the device while bytes arrive or are being proven. A stalled upload does not delay the scrubber. */
  #contention(): Contention {
    if (this.#paused) return 'paused';
    const shards = this.#worker.shards.all();
    const receivedBytes = shards.reduce((sum, shard) => sum + shard.receivedBytes, 0);
    const receiving = this.#receiving.look(receivedBytes);
    const sealing = shards.some((shard) => shard.state === 'sealing');
    return receiving || sealing || this.#verifier.requested > 0 ? 'busy' : 'free';
  }
}

/** When a sealed shard was last verified, on the monotonic clock; infinite for any other shard. */
const verifiedMs = ({ phase }: Shard): number =>
  phase.state === 'sealed' ? phase.seal.verifiedAt.monotonicMs : Number.POSITIVE_INFINITY;
