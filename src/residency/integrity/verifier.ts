import { type Actor, systemActor } from '../../audit/actor.js';
import { WorkerError } from '../../errors.js';
import { outcomeOf } from '../commit/admission.js';
import type { Seal, Shard } from '../state/shard.js';
import type { Reason, ResidencyObserver } from '../state/signer.js';
import type { VerifyReport } from '../state/snapshot.js';
import type { WorkerState } from '../state/worker_state.js';
import type { ReadyQuery } from '../status/readiness.js';
import { RepairQueue } from './repair_queue.js';
import type { ScrubThrottle } from './throttle.js';
import { toldRanges, verifyShard } from './verify.js';

/** Shards that one refresh verifies at a time: a commit that comes in between waits for so many, not for all. */
const runsAtOnce = 4;

/** Those who may start little work may have old shards verified once in so long. */
const sparingIntervalMs = 60_000;

/** Runs verifications and draws the consequences. Those of one shard at one time share one run. */
export class Verifier {
  readonly #inventory: WorkerState;
  readonly #observer: () => ResidencyObserver;
  readonly #repairs: RepairQueue;
  #requested = 0;
  #sparedAtMs = Number.NEGATIVE_INFINITY;

  constructor(inventory: WorkerState, observer: () => ResidencyObserver) {
    this.#inventory = inventory;
    this.#observer = observer;
    this.#repairs = new RepairQueue(inventory, observer);
  }

  /** Verifications that somebody waits for. */
  get requested(): number {
    return this.#requested;
  }

  /**
   * Verifies now; waits for a repair under way first. A shard that is found damaged is repaired afterwards, where it can
   * be. @throws WorkerError SHARD_BUSY, AUDIT_UNAVAILABLE, and the driver's errors
   */
  async run(record: Shard, actor: Actor): Promise<VerifyReport> {
    this.#requested++;
    try {
      if (record.repair !== undefined) await record.repair;
      record.scrub?.expedite();
      return await this.#join(record, actor);
    } finally {
      this.#requested--;
    }
  }

  /** The same, for nobody in particular: behind everybody else. @throws like `run` */
  scrub(record: Shard, pace: ScrubThrottle): Promise<VerifyReport> {
    return this.#join(record, systemActor, pace);
  }

  /**
   * Verifies the sealed shards of a model, or of all, whose last verification is older. Never rejects: a shard that could
   * not be verified is a reason not to be ready. A sparing call starts at most one such round a minute, joins what runs
   * already, and otherwise leaves the shards as old as they say they are.
   */
  async refresh(
    modelRef: string | undefined,
    maxAgeSeconds: number,
    { actor, sparing = false }: Pick<ReadyQuery, 'actor' | 'sparing'>,
  ): Promise<Reason[]> {
    const before = performance.now() - maxAgeSeconds * 1000;
    const isOld = ({ phase }: Shard) => phase.state === 'sealed' && phase.seal.lastVerifiedMonotonicMs < before;
    const allOld = this.#inventory.shards.ofModel(modelRef).filter(isOld);
    const old = sparing && !this.#spare(allOld) ? allOld.filter(({ verification }) => verification) : allOld;
    const next = old.values();
    const runs = Array.from({ length: runsAtOnce }, async () => {
      for (const record of next) await this.run(record, actor).catch(() => undefined);
    });
    await Promise.all(runs);
    return old.filter(isOld).map(({ identity }) => ({
      code: 'VERIFICATION_FAILED',
      detail: `shard ${identity.shardId} could not be verified`,
    }));
  }

  /** Whether a round may be started now; one that would start nothing is not counted. */
  #spare(old: readonly Shard[]): boolean {
    if (old.every(({ verification }) => verification !== undefined)) return true;
    const nowMs = performance.now();
    if (nowMs < this.#sparedAtMs + sparingIntervalMs) return false;
    this.#sparedAtMs = nowMs;
    return true;
  }

  #join(record: Shard, actor: Actor, pace?: ScrubThrottle): Promise<VerifyReport> {
    if (record.verification !== undefined) return record.verification;
    const { seal } = record;
    if (seal === undefined) throw new WorkerError('SHARD_BUSY', `the shard is ${record.state}`, { retryAfterMs: 1000 });
    const run = this.#verify(record, seal, actor, pace).finally(() => {
      record.verification = undefined;
      record.scrub = undefined;
    });
    record.scrub = pace;
    record.verification = run;
    const repair = ({ checks }: VerifyReport) => (checks.signature ? this.#repairs.offer(record) : undefined);
    run.then(repair, () => undefined);
    return run;
  }

  async #verify(record: Shard, seal: Seal, actor: Actor, pace?: ScrubThrottle): Promise<VerifyReport> {
    const started = performance.now();
    try {
      const report = await verifyShard(record, seal, this.#inventory.signer.keys.own, pace);
      // The handle may have been signed anew meanwhile: what was found is true of the seal that stands now.
      if (!report.verified) this.#markCorrupt(record, record.seal ?? seal, report, actor);
      else if (record.phase.state === 'sealed') this.#markVerified(record, record.phase.seal, actor);
      const outcome = report.verified ? 'ok' : 'SEAL_VERIFICATION_FAILED';
      this.#observer().verified(outcome, record.vramBytes, (performance.now() - started) / 1000);
      return report;
    } catch (error) {
      if (pace?.cancelled) throw error;
      this.#observer().verified(outcomeOf(error), record.vramBytes, (performance.now() - started) / 1000);
      throw this.#inventory.reportDriverError(error);
    }
  }

  #markVerified(record: Shard, seal: Seal, actor: Actor): void {
    this.#inventory.appendRequired('SealVerified', record, {}, actor);
    seal.lastVerifiedAtMs = Date.now();
    seal.lastVerifiedMonotonicMs = performance.now();
    this.#inventory.bumpRevision();
  }

  /**
   * Damage is acted on whether it can be written down or not. Once corrupt, a shard stays so until it is repaired or
   * released; one that reads well again keeps the ranges that were found first.
   */
  #markCorrupt(record: Shard, seal: Seal, report: VerifyReport, actor: Actor): void {
    const { phase } = record;
    if (report.reason === 'corrupt') return;
    const known = phase.state === 'corrupt' ? phase.ranges : [];
    const ranges = report.corruptRanges.length > 0 ? report.corruptRanges : known;
    if (phase.state === 'sealed' || phase.state === 'corrupt') {
      record.phase = { state: 'corrupt', seal, ranges, repairStatus: this.#repairs.repairStatus(record) };
    }
    if (!report.checks.residency) this.#inventory.appendBestEffort('PolicyViolation', 'critical', record, {}, actor);
    this.#inventory.appendBestEffort('SealVerificationFailed', 'critical', record, toldRanges(ranges), actor);
    this.#inventory.bumpRevision();
  }
}
