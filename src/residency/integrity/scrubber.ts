import { setTimeout as sleep } from 'node:timers/promises';
import type { Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';
import { ScrubRate } from './rate.js';
import {
  type DueShard,
  dueShards,
  earliestPassStartMs,
  endTimesMs,
  passStartMs,
  verifiedMs,
} from './scrub_schedule.js';
import { ActivityDetector, type Contention, ScrubThrottle } from './throttle.js';
import type { Verifier } from './verifier.js';

/** How often the scrubber checks whether a pass must start: at each fiftieth of the period, within these limits. */
const shortestPollMs = 50;
const longestPollMs = 10_000;

export const scrubStates = ['off', 'waiting', 'running', 'paused'] as const;

export interface ScrubReason {
  readonly code: 'SCRUB_OVERDUE';
  readonly detail: string;
}

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
  /** Sealed shards whose last verification began more than a period ago. */
  readonly overdueShards: number;
  /** Why a shard was not verified within the period; empty if each was. */
  readonly reasons: readonly ScrubReason[];
}

/**
 * Verifies each sealed shard in the background once a period, oldest verification first, within a rate of bytes per
 * second, behind other work. A shard that cannot be verified delays no other, and no error ends the scrubber.
 */
export class Scrubber {
  readonly #worker: WorkerState;
  readonly #verifier: Verifier;
  readonly #periodSeconds: number;
  readonly #rate: ScrubRate;
  readonly #stopped = new AbortController();
  readonly #receiving = new ActivityDetector();
  /** When a verification last failed. */
  readonly #triedMs = new WeakMap<Shard, number>();
  readonly #throttles = new Set<ScrubThrottle>();
  #running = false;
  #paused = false;
  #shardsDone = 0;
  #shardsTotal = 0;
  #passes = 0;
  #verifiedBytes = 0;
  #failures = 0;
  #lastPassFinishedAtMs: number | null = null;
  #overdueShards = 0;

  constructor(worker: WorkerState, verifier: Verifier) {
    this.#worker = worker;
    this.#verifier = verifier;
    this.#periodSeconds = worker.options.scrubSeconds;
    this.#rate = new ScrubRate(worker.options.scrubBytesPerSecond);
  }

  /** Runs until `stop`. */
  start(): void {
    if (this.#periodSeconds > 0) void this.#loop(this.#stopped.signal);
  }

  /** Stops permanently. A verification that no caller waits for ends at its next slice. */
  stop(): void {
    this.#stopped.abort();
    for (const throttle of this.#throttles) throttle.cancel();
  }

  /** Verifies one shard in the background, outside of the passes. Never rejects. */
  async verifyNow(shard: Shard): Promise<void> {
    const nowMs = performance.now();
    if (!this.#stopped.signal.aborted) await this.#scrub(shard, nowMs, nowMs + this.#periodMs);
  }

  /** Pauses from the next slice on, or resumes. */
  pause(paused: boolean): void {
    if (this.#paused === paused) return;
    this.#paused = paused;
    const { audit, lifecycle } = this.#worker;
    void audit.appendBestEffort(paused ? 'ScrubPaused' : 'ScrubResumed', paused ? 'warning' : 'info', {});
    lifecycle.bumpRevision();
  }

  /** Counts the overdue shards. Called every second. */
  tick(): void {
    if (this.#periodSeconds === 0) return;
    // On the monotonic clock: setting the clock of the host does not make a verification overdue.
    const overdueShards = this.#worker.shards.verified.countBefore(performance.now() - this.#periodMs);
    if (overdueShards === this.#overdueShards) return;
    this.#overdueShards = overdueShards;
    this.#worker.lifecycle.bumpRevision();
  }

  get status(): ScrubStatus {
    const state = this.#running ? 'running' : 'waiting';
    return {
      state: this.#periodSeconds === 0 ? 'off' : this.#paused ? 'paused' : state,
      periodSeconds: this.#periodSeconds,
      bytesPerSecond: this.#rate.bytesPerSecond,
      shardsDone: this.#shardsDone,
      shardsTotal: this.#shardsTotal,
      passes: this.#passes,
      verifiedBytes: this.#verifiedBytes,
      failures: this.#failures,
      lastPassFinishedAtMs: this.#lastPassFinishedAtMs,
      overdueShards: this.#overdueShards,
      reasons: this.#reasons(),
    };
  }

  async #loop(signal: AbortSignal): Promise<void> {
    const pollMs = Math.min(longestPollMs, Math.max(shortestPollMs, this.#periodMs / 50));
    while (!signal.aborted) {
      await sleep(pollMs, undefined, { signal, ref: false }).catch(() => undefined);
      if (this.#paused || signal.aborted || !this.#mustStart()) continue;
      await this.#pass(signal).catch((error: unknown) => this.#worker.driverHealth.report(error));
    }
  }

  #mustStart(): boolean {
    const nowMs = performance.now();
    if (earliestPassStartMs(this.#worker.shards.verified, this.#rate, this.#periodMs) > nowMs) return false;
    return passStartMs(this.#due(), this.#rate, this.#periodMs) <= nowMs;
  }

  /** Verifies each sealed shard whose last verification is older than this pass. */
  async #pass(signal: AbortSignal): Promise<void> {
    const startedMs = performance.now();
    const due = this.#due();
    const endTimes = endTimesMs(due, this.#rate);
    const takenOver: DueShard[] = [];
    this.#rate.beginPass();
    this.#setProgress(true, 0, due.length);
    try {
      for (const [index, { shard, deadlineMs }] of due.entries()) {
        const isDone = await this.#scrub(shard, startedMs, endTimes[index] ?? deadlineMs);
        if (signal.aborted) return;
        if (!isDone) takenOver.push({ shard, deadlineMs });
        this.#setProgress(true, index + 1, due.length);
      }
      // A caller's verification that replaced a background one may have failed.
      for (const { shard, deadlineMs } of takenOver) {
        await this.#scrub(shard, startedMs, deadlineMs);
        if (signal.aborted) return;
      }
      this.#passes++;
      this.#lastPassFinishedAtMs = Date.now();
    } finally {
      this.#setProgress(false, this.#shardsDone, this.#shardsTotal);
    }
  }

  /** Returns false if callers took over the verification, which is not a failure. */
  async #scrub(shard: Shard, passStartedMs: number, endByMs: number): Promise<boolean> {
    const job = { bytes: shard.vramBytes, endByMs };
    const throttle = new ScrubThrottle(this.#rate, () => this.#contention(), job);
    this.#throttles.add(throttle);
    try {
      await throttle.ready();
      if (this.#lastTryMs(shard) >= passStartedMs) return true;
      const report = await this.#verifier.scrub(shard, throttle);
      if (report?.verified) this.#verifiedBytes += report.bytes;
      else if (report !== undefined) this.#failures++;
      return report !== undefined;
    } catch {
      // The verifier has reported the error, and any damage found so far.
      if (!throttle.canceled || shard.state === 'corrupt') this.#failures++;
      if (!throttle.canceled) this.#triedMs.set(shard, performance.now());
      return !throttle.canceled;
    } finally {
      throttle.end();
      this.#throttles.delete(throttle);
    }
  }

  #due(): DueShard[] {
    return dueShards(this.#worker.shards.verified.byAge(), this.#lastTryMs, this.#periodMs);
  }

  readonly #lastTryMs = (shard: Shard): number => Math.max(verifiedMs(shard), this.#triedMs.get(shard) ?? 0);

  get #periodMs(): number {
    return this.#periodSeconds * 1000;
  }

  #setProgress(running: boolean, done: number, total: number): void {
    this.#running = running;
    this.#shardsDone = done;
    this.#shardsTotal = total;
    this.#worker.lifecycle.bumpRevision();
  }

  #reasons(): ScrubReason[] {
    if (this.#overdueShards === 0) return [];
    const detail = `Shards last verified more than ${this.#periodSeconds} s ago: ${this.#overdueShards}`;
    return [{ code: 'SCRUB_OVERDUE', detail }];
  }

  /** Commits use the device while bytes arrive or are being proven. A stalled upload does not delay the scrubber. */
  #contention(): Contention {
    if (this.#paused) return 'paused';
    if (this.#verifier.requested > 0) return 'busy';
    if (this.#worker.ingests.size === 0) return 'free';
    const { shards } = this.#worker;
    const receivedBytes = shards.inState('receiving').reduce((sum, shard) => sum + shard.receivedBytes, 0);
    const receiving = this.#receiving.look(receivedBytes);
    return receiving || shards.countByState.sealing > 0 ? 'busy' : 'free';
  }
}
