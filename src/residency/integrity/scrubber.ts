import { setTimeout as sleep } from 'node:timers/promises';
import type { Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';
import { ActivityDetector, type Contention, RateBudget, ScrubThrottle } from './throttle.js';
import type { Verifier } from './verifier.js';

/** How often a pass that is due looks whether it is paused still. */
const pausePollMs = 100;

export const scrubStates = ['off', 'waiting', 'running', 'paused'] as const;

/** How far the scrubber is. Nothing in here changes by the clock alone. */
export interface ScrubStatus {
  readonly state: (typeof scrubStates)[number];
  readonly periodSeconds: number;
  readonly bytesPerSecond: number;
  /** Of the pass under way, or of the last one. */
  readonly shardsDone: number;
  readonly shardsTotal: number;
  readonly passes: number;
  readonly verifiedBytes: number;
  /** Shards that were found damaged, or could not be verified. */
  readonly failures: number;
  readonly lastPassFinishedAtMs: number | null;
}

/**
 * Verifies the sealed shards again and again in the background, those first whose last verification is oldest: a pass
 * over all of them each period, within a budget of bytes per second, behind everybody else who wants the device. A shard
 * that can't be verified keeps no other from its turn, and no error ends it.
 */
export class Scrubber {
  readonly #inventory: WorkerState;
  readonly #verifications: Verifier;
  readonly #periodSeconds: number;
  readonly #budget: RateBudget;
  readonly #stopped = new AbortController();
  #running = false;
  #paused = false;
  #shardsDone = 0;
  #shardsTotal = 0;
  #passes = 0;
  #verifiedBytes = 0;
  #failures = 0;
  #lastPassFinishedAtMs: number | null = null;
  readonly #receiving = new ActivityDetector();

  constructor(inventory: WorkerState, verifications: Verifier) {
    this.#inventory = inventory;
    this.#verifications = verifications;
    this.#periodSeconds = inventory.options.scrubSeconds;
    this.#budget = new RateBudget(inventory.options.scrubBytesPerSecond);
  }

  /** Goes on until `stop`. */
  start(): void {
    if (this.#periodSeconds > 0) void this.#loop(this.#stopped.signal);
  }

  /** For good. A verification under way that nobody waits for ends at its next slice. */
  stop(): void {
    this.#stopped.abort();
    for (const record of this.#inventory.shards.all()) record.scrub?.cancel();
  }

  /** From the next slice on nothing is read, until it is told to go on. */
  pause(paused: boolean): void {
    if (this.#paused === paused) return;
    this.#paused = paused;
    this.#inventory.audit.appendBestEffort(paused ? 'ScrubPaused' : 'ScrubResumed', paused ? 'warning' : 'info', {});
    this.#inventory.bumpRevision();
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
      const started = performance.now();
      await this.#pass(started, signal).catch((error: unknown) => this.#inventory.reportDriverError(error));
      restMs = Math.max(0, started + this.#periodSeconds * 1000 - performance.now());
    }
  }

  /** Each shard that nobody has verified since the pass began. */
  async #pass(startedMs: number, signal: AbortSignal): Promise<void> {
    const verifiedMs = ({ phase }: Shard) =>
      phase.state === 'sealed' ? phase.seal.lastVerifiedMonotonicMs : Number.POSITIVE_INFINITY;
    const due = this.#inventory.shards.all().filter((record) => verifiedMs(record) < startedMs);
    due.sort((a, b) => verifiedMs(a) - verifiedMs(b));
    this.#progress(true, 0, due.length);
    try {
      for (const [index, record] of due.entries()) {
        if (signal.aborted) return;
        if (verifiedMs(record) < startedMs) await this.#scrub(record);
        this.#progress(true, index + 1, due.length);
      }
      this.#passes++;
      this.#lastPassFinishedAtMs = Date.now();
    } finally {
      this.#progress(false, this.#shardsDone, this.#shardsTotal);
    }
  }

  async #scrub(record: Shard): Promise<void> {
    const pace = new ScrubThrottle(this.#budget, () => this.#traffic());
    try {
      const { verified, bytes } = await this.#verifications.scrub(record, pace);
      if (verified) this.#verifiedBytes += bytes;
      else this.#failures++;
    } catch {
      // Verifications have noticed it already, and the shard's turn comes again in the next pass.
      if (!pace.cancelled) this.#failures++;
    }
  }

  #progress(running: boolean, done: number, total: number): void {
    this.#running = running;
    this.#shardsDone = done;
    this.#shardsTotal = total;
    this.#inventory.bumpRevision();
  }

  /** Commits want the device while bytes come in, or are proven; an upload that stands still holds nobody up. */
  #traffic(): Contention {
    if (this.#paused) return 'paused';
    const records = this.#inventory.shards.all();
    const receivedBytes = records.reduce((sum, record) => sum + record.receivedBytes, 0);
    const receiving = this.#receiving.look(receivedBytes);
    const sealing = records.some((record) => record.state === 'sealing');
    return receiving || sealing || this.#verifications.requested > 0 ? 'busy' : 'free';
  }
}
