import { type Actor, systemActor } from '../../audit/actor.js';
import { outcomeOf, WorkerError } from '../../errors.js';
import { type Moment, momentNow } from '../../vram/moment.js';
import type { Reason } from '../state/reason.js';
import type { Seal, Shard } from '../state/shard.js';
import type { VerifyReport } from '../state/verify_report.js';
import type { WorkerState } from '../state/worker_state.js';
import { RepairQueue, repairStatusOf } from './repair_queue.js';
import type { ScrubThrottle } from './throttle.js';
import { rangeFields, verifyShard } from './verify.js';

/** How many shards one refresh verifies concurrently. A commit that arrives during it waits for these, not for all. */
const concurrentRuns = 4;

/** How often a limited caller may start a round of verifications. */
const limitedIntervalMs = 60_000;

/** Which shards to refresh. */
export interface RefreshOptions {
  /** Default: the shards of all models. */
  readonly modelRef: string | undefined;
  /** Verifies shards whose last verification is older. */
  readonly maxAgeSeconds: number;
  readonly actor: Actor;
  /** The caller may start at most one round a minute; otherwise it only joins runs in progress. */
  readonly limited: boolean;
}

/** Runs verifications and acts on their results. Concurrent verifications of one shard share a run. */
export class Verifier {
  readonly #worker: WorkerState;
  readonly #repairs: RepairQueue;
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
   * Verifies a shard now, after a repair in progress. A damaged shard is then queued for repair.
   * @throws WorkerError SHARD_BUSY, AUDIT_UNAVAILABLE, and the driver's errors
   */
  async run(shard: Shard, actor: Actor): Promise<VerifyReport> {
    this.#requested++;
    try {
      if (shard.repair !== undefined) await shard.repair;
      shard.scrub?.expedite();
      return await this.#join(shard, actor);
    } finally {
      this.#requested--;
    }
  }

  /** Verifies a shard in the background, behind all other work. @throws as `run` */
  scrub(shard: Shard, throttle: ScrubThrottle): Promise<VerifyReport> {
    return this.#join(shard, systemActor, throttle);
  }

  /**
   * Verifies the sealed shards whose last verification is too old. Never rejects: a shard that could not be verified is
   * returned as a reason not to be ready.
   */
  async refresh({ modelRef, maxAgeSeconds, actor, limited }: RefreshOptions): Promise<Reason[]> {
    const before = performance.now() - maxAgeSeconds * 1000;
    const isOld = ({ phase }: Shard) => phase.state === 'sealed' && phase.seal.verifiedAt.monotonicMs < before;
    const allOld = this.#worker.shards.ofModel(modelRef).filter(isOld);
    const old = limited && !this.#mayStartRound(allOld) ? allOld.filter(({ verification }) => verification) : allOld;
    const next = old.values();
    const runs = Array.from({ length: concurrentRuns }, async () => {
      for (const shard of next) await this.run(shard, actor).catch(() => undefined);
    });
    await Promise.all(runs);
    return old.filter(isOld).map(({ identity }) => ({
      code: 'VERIFICATION_FAILED',
      detail: `Shard ${identity.shardId} could not be verified`,
    }));
  }

  /** Whether a limited caller may start a round now. A round that would start no run is not counted. */
  #mayStartRound(old: readonly Shard[]): boolean {
    if (old.every(({ verification }) => verification !== undefined)) return true;
    const nowMs = performance.now();
    if (nowMs < this.#lastLimitedRoundMs + limitedIntervalMs) return false;
    this.#lastLimitedRoundMs = nowMs;
    return true;
  }

  #join(shard: Shard, actor: Actor, throttle?: ScrubThrottle): Promise<VerifyReport> {
    if (shard.verification !== undefined) return shard.verification;
    const { seal } = shard;
    if (seal === undefined) {
      throw new WorkerError('SHARD_BUSY', `The shard is ${shard.state}`, { retryAfterMs: 1000 });
    }
    const run = this.#verify(shard, seal, actor, throttle).finally(() => {
      shard.verification = undefined;
      shard.scrub = undefined;
    });
    shard.scrub = throttle;
    shard.verification = run;
    const offerRepair = ({ checks }: VerifyReport) => (checks.signature ? this.#repairs.offer(shard) : undefined);
    run.then(offerRepair, () => undefined);
    return run;
  }

  async #verify(shard: Shard, seal: Seal, actor: Actor, throttle?: ScrubThrottle): Promise<VerifyReport> {
    const { signer, driverHealth, observer } = this.#worker;
    const startedAt = momentNow();
    const observe = (outcome: Parameters<typeof observer.verified>[0]) =>
      observer.verified(outcome, shard.vramBytes, (performance.now() - startedAt.monotonicMs) / 1000);
    try {
      const report = await verifyShard(shard, seal, signer.keyring.findOwn, throttle);
      if (!report.verified) this.#markCorrupt(shard, report, actor);
      else if (shard.state === 'sealed') this.#markVerified(shard, startedAt, actor);
      observe(report.verified ? 'ok' : 'SEAL_VERIFICATION_FAILED');
      return report;
    } catch (error) {
      if (throttle?.canceled) throw error;
      observe(outcomeOf(error));
      throw driverHealth.report(error);
    }
  }

  #markVerified(shard: Shard, startedAt: Moment, actor: Actor): void {
    this.#worker.shardAudit.appendRequired('SealVerified', shard, {}, actor);
    shard.markVerified(startedAt);
    this.#worker.lifecycle.bumpRevision();
  }

  /**
   * Acts on damage even if the audit log cannot be written. A shard stays corrupt until it is repaired or released. If its
   * bytes read correctly again, it keeps the ranges that were found first.
   */
  #markCorrupt(shard: Shard, report: VerifyReport, actor: Actor): void {
    const { shardAudit, lifecycle } = this.#worker;
    const { phase } = shard;
    if (report.reason === 'corrupt') return;
    const known = phase.state === 'corrupt' ? phase.ranges : [];
    const ranges = report.corruptRanges.length > 0 ? report.corruptRanges : known;
    if (phase.state === 'sealed' || phase.state === 'corrupt') shard.markCorrupt(ranges, repairStatusOf(shard));
    if (!report.checks.residency) {
      shardAudit.appendBestEffort({ event: 'PolicyViolation', severity: 'critical' }, shard, actor);
    }
    const failed = { event: 'SealVerificationFailed', severity: 'critical', fields: rangeFields(ranges) } as const;
    shardAudit.appendBestEffort(failed, shard, actor);
    lifecycle.bumpRevision();
  }
}
