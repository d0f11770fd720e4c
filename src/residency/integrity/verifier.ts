import { setImmediate as nextTick } from 'node:timers/promises';
import { type Actor, systemActor } from '../../audit/actor.js';
import { WorkerError } from '../../errors.js';
import { earlier, isNotBefore, type Moment, momentNow } from '../../vram/moment.js';
import type { NextVerification, RunningVerification } from '../state/running_verification.js';
import type { Shard } from '../state/shard.js';
import type { Shards } from '../state/shards.js';
import { nextSlice } from '../state/time_slices.js';
import type { VerifyReport } from '../state/verify_report.js';
import type { WorkerState } from '../state/worker_state.js';
import { RepairQueue } from './repair_queue.js';
import type { ScrubThrottle } from './throttle.js';
import { Verification, type VerificationOptions } from './verification.js';

/** How many shards `ready` requests verify concurrently. A commit that arrives waits for these, not for all. */
const concurrentRuns = 4;

/** How often a limited caller may start a round of verifications. */
const limitedIntervalMs = 60_000;

/** A question about shards that were verified recently. */
export interface AgeLimit {
  /** Default: the shards of all models. */
  readonly modelRef?: string;
  /** The greatest age of a shard's last verification, counted back from `askedAt`. */
  readonly maxAgeSeconds: number;
  /** When the request came in. */
  readonly askedAt: Moment;
}

/** For whom to verify the shards that are too old. */
export interface RefreshOptions extends AgeLimit {
  readonly actor: Actor;
  /** The caller may start at most one round of verifications a minute, together with all other limited callers. */
  readonly limited?: boolean;
}

/** What was done for a question so far. */
export class RefreshProgress {
  /** The shards that were verified for it. One that could not be verified stays too old. */
  readonly seen = new Set<Shard>();
  /** A limited caller needs a round for the shards of its question only, not for those that are sealed later. */
  isAdmitted = false;
}

/**
 * Starts verifications and shares them between callers. A caller joins only a run that began late enough for its
 * question. Callers that cannot join the run in progress all wait for one that follows. A background run never delays
 * a caller: it ends at its next slice.
 */
export class Verifier {
  readonly #worker: WorkerState;
  readonly #repairs: RepairQueue;
  /** Shards that `ready` requests wait for, in order, while other shards are verified. */
  readonly #queued = new Set<Shard>();
  #running = 0;
  #requested = 0;
  #lastLimitedRoundMs = Number.NEGATIVE_INFINITY;

  constructor(worker: WorkerState) {
    this.#worker = worker;
    this.#repairs = new RepairQueue(worker);
  }

  /** How many verifications have a caller that waits. */
  get requested(): number {
    return this.#requested;
  }

  /**
   * Verifies a shard for a caller that accepts runs that began at `notBefore` or later. A damaged shard is then queued
   * for repair. @throws WorkerError SHARD_BUSY, AUDIT_UNAVAILABLE, and the driver's errors
   */
  run(shard: Shard, actor: Actor, notBefore = momentNow()): Promise<VerifyReport> {
    return this.#wait(() => {
      if (isJoinable(shard.verification, notBefore)) return shard.verification.report;
      const next = this.#nextOf(shard, actor);
      next.begin();
      return next.report;
    });
  }

  /**
   * Verifies a shard in the background, behind all other work. Undefined if callers verify the shard already: this then
   * only waits for them. @throws as `run`
   */
  async scrub(shard: Shard, throttle: ScrubThrottle): Promise<VerifyReport | undefined> {
    const requested = shard.nextVerification ?? shard.verification;
    if (requested === undefined) return this.#start(shard, { actor: systemActor, throttle });
    await requested.report.catch(() => undefined);
    return undefined;
  }

  /**
   * Verifies the sealed shards that are too old, each once for all calls with the same progress.
   * @throws WorkerError RATE_LIMITED if a limited caller must wait; nothing was started then
   */
  async refresh(options: RefreshOptions, progress = new RefreshProgress()): Promise<void> {
    const { actor, limited = false } = options;
    const { seen } = progress;
    const notBefore = notBeforeOf(options);
    const isShared = (shard: Shard) => shard.nextVerification || isJoinable(shard.verification, notBefore);
    // A shard that was sealed during a round may be older than the question allows, so it needs another round.
    for (;;) {
      await nextSlice();
      const old = shardsBeyond(this.#worker.shards, options).filter((shard) => !seen.has(shard));
      if (limited && !progress.isAdmitted && !old.every(isShared)) this.#countLimitedRound();
      progress.isAdmitted = true;
      if (old.length === 0) return;
      for (const shard of old) seen.add(shard);
      await Promise.allSettled(old.map((shard) => this.#runQueued(shard, actor, notBefore)));
    }
  }

  /** As `run`, but waits for its turn behind the shards of other `ready` requests. */
  #runQueued(shard: Shard, actor: Actor, notBefore: Moment): Promise<VerifyReport> {
    return this.#wait(() => {
      if (isJoinable(shard.verification, notBefore)) return shard.verification.report;
      const { report } = this.#nextOf(shard, actor);
      this.#queued.add(shard);
      this.#beginQueued();
      return report;
    });
  }

  #beginQueued(): void {
    for (const shard of this.#queued) {
      if (this.#running === concurrentRuns) return;
      this.#queued.delete(shard);
      const next = shard.nextVerification;
      // Undefined if a caller that does not queue has begun it.
      if (next === undefined) continue;
      this.#running++;
      next.begin();
      const ended = () => {
        this.#running--;
        this.#beginQueued();
      };
      next.report.then(ended, ended);
    }
  }

  /** The run that follows what is in progress. It preempts a background run when it begins. */
  #nextOf(shard: Shard, actor: Actor): NextVerification {
    if (shard.nextVerification !== undefined) return shard.nextVerification;
    let begin = (): void => undefined;
    const begins = new Promise<void>((resolve) => {
      begin = resolve;
    });
    const report = begins.then(() => this.#startNext(shard, actor));
    report.catch(() => undefined);
    shard.nextVerification = {
      report,
      begin: () => {
        shard.verification?.cancel();
        begin();
      },
    };
    return shard.nextVerification;
  }

  async #startNext(shard: Shard, actor: Actor): Promise<VerifyReport> {
    // Requests of one tick share the run.
    await nextTick();
    while (shard.repair !== undefined || shard.verification !== undefined) {
      await (shard.repair ?? shard.verification?.report.catch(() => undefined));
    }
    shard.nextVerification = undefined;
    return this.#start(shard, { actor });
  }

  async #start(shard: Shard, options: VerificationOptions): Promise<VerifyReport> {
    const { seal } = shard;
    if (seal === undefined) {
      throw new WorkerError('SHARD_BUSY', `The shard is ${shard.state}`, { retryAfterMs: 1000 });
    }
    const verification = new Verification(this.#worker, { shard, seal }, options, () => {
      shard.verification = undefined;
      // The run of a caller that canceled this one offers the repair.
      const isTakenOver = verification.isCanceled && shard.nextVerification !== undefined;
      if (verification.isRepairable && !isTakenOver) this.#repairs.offer(shard);
    });
    shard.verification = verification;
    return verification.report;
  }

  /** @throws WorkerError RATE_LIMITED if the last round of a limited caller is too recent */
  #countLimitedRound(): void {
    const nowMs = performance.now();
    const waitMs = this.#lastLimitedRoundMs + limitedIntervalMs - nowMs;
    if (waitMs > 0) {
      throw new WorkerError('RATE_LIMITED', 'The read token can start verifications once a minute', {
        retryAfterMs: Math.ceil(waitMs),
      });
    }
    this.#lastLimitedRoundMs = nowMs;
  }

  async #wait(report: () => Promise<VerifyReport>): Promise<VerifyReport> {
    this.#requested++;
    try {
      return await report();
    } finally {
      this.#requested--;
    }
  }
}

/** The sealed shards whose last verification is too old. Visits no other shard. */
export const shardsBeyond = (shards: Shards, limit: AgeLimit): Shard[] =>
  shards.verifiedBefore(limit.modelRef, notBeforeOf(limit));

/** Whether the last verification of a sealed shard is too old. Visits no shard. */
export const isAnyBeyond = (shards: Shards, limit: AgeLimit): boolean =>
  shards.isAnyVerifiedBefore(limit.modelRef, notBeforeOf(limit));

const notBeforeOf = ({ askedAt, maxAgeSeconds }: AgeLimit): Moment => earlier(askedAt, maxAgeSeconds * 1000);

/** Whether a verification that callers wait for is recent enough to join. */
const isJoinable = (
  verification: RunningVerification | undefined,
  notBefore: Moment,
): verification is RunningVerification =>
  verification?.isBackground === false && isNotBefore(verification.startedAt, notBefore);
