import type { Actor } from '../../audit/actor.js';
import type { AuditFields } from '../../audit/event.js';
import { type ErrorCode, outcomeOf, WorkerError } from '../../errors.js';
import { momentNow } from '../../vram/moment.js';
import { leaseFields, maxListedLeases } from '../lease/snapshot.js';
import type { RunningVerification } from '../state/running_verification.js';
import type { Seal } from '../state/seal.js';
import type { Shard } from '../state/shard.js';
import type { ByteRange } from '../state/snapshot.js';
import type { VerifyReport } from '../state/verify_report.js';
import type { WorkerState } from '../state/worker_state.js';
import { mergeRanges, rangeFields } from './damage.js';
import { repairStatusOf } from './repair_queue.js';
import type { ScrubThrottle } from './throttle.js';
import { type Findings, verifyShard } from './verify.js';

export interface VerificationOptions {
  /** The actor in the audit entries. */
  readonly actor: Actor;
  /** Makes the verification a background run. */
  readonly throttle?: ScrubThrottle | undefined;
}

/**
 * One verification in progress. It begins when it is constructed, and acts on what it finds at once: damage takes effect
 * before the next slice is read.
 */
export class Verification implements RunningVerification {
  readonly startedAt = momentNow();
  readonly report: Promise<VerifyReport>;
  readonly #worker: WorkerState;
  readonly #shard: Shard;
  readonly #seal: Seal;
  readonly #actor: Actor;
  readonly #throttle: ScrubThrottle | undefined;
  /** Damage that an earlier verification found. */
  readonly #known: readonly ByteRange[];
  #findings: Findings = { signature: true, residency: true, ranges: [] };
  #isFaulty = false;
  /** Resolves when the last entry about damage is on disk, or waits for the audit log. */
  #recorded: Promise<void> = Promise.resolve();
  /** Faults were found after the entry about the first one. */
  #hasMore = false;

  /** `onEnd` is called before `report` settles. */
  constructor(
    worker: WorkerState,
    { shard, seal }: { readonly shard: Shard; readonly seal: Seal },
    { actor, throttle }: VerificationOptions,
    onEnd: () => void,
  ) {
    this.#worker = worker;
    this.#shard = shard;
    this.#seal = seal;
    this.#actor = actor;
    this.#throttle = throttle;
    this.#known = shard.phase.state === 'corrupt' ? shard.phase.ranges : [];
    this.report = this.#run().finally(onEnd);
  }

  get isBackground(): boolean {
    return this.#throttle !== undefined;
  }

  get isCanceled(): boolean {
    return this.#throttle?.canceled === true;
  }

  /** Whether a repair of the bytes can make the shard good again. */
  get isRepairable(): boolean {
    return this.#findings.signature;
  }

  cancel(): void {
    this.#throttle?.cancel();
  }

  async #run(): Promise<VerifyReport> {
    try {
      const report = await this.#verify();
      this.#observe(report.verified ? 'ok' : 'SEAL_VERIFICATION_FAILED');
      return report;
    } catch (error) {
      const isCancellation = this.isCanceled && error instanceof WorkerError;
      if (this.#isFaulty) this.#observe('SEAL_VERIFICATION_FAILED');
      else if (!isCancellation) this.#observe(outcomeOf(error));
      throw this.#worker.driverHealth.report(error);
    } finally {
      if (this.#hasMore) this.#recordFailure();
      await this.#recorded;
    }
  }

  async #verify(): Promise<VerifyReport> {
    const { findOwn } = this.#worker.signer.keyring;
    const onFault = (findings: Findings) => this.#act(findings);
    const throttle = this.#throttle === undefined ? {} : { throttle: this.#throttle };
    const report = await verifyShard(this.#shard, this.#seal, findOwn, { ...throttle, onFault });
    // This run read every byte, so its ranges replace those of earlier ones.
    if (this.#isFaulty) this.#markCorrupt(report.corruptRanges.length > 0 ? report.corruptRanges : this.#known);
    if (report.verified && this.#shard.state === 'sealed') await this.#markVerified();
    return report;
  }

  async #markVerified(): Promise<void> {
    const fields = { last_verified_at: new Date(this.startedAt.wallMs).toISOString() };
    await this.#worker.shardAudit.appendRequired('SealVerified', this.#shard, fields, this.#actor);
    // The shard may have been released while the entry was written.
    if (this.#shard.state !== 'sealed') return;
    this.#shard.markVerified(this.startedAt);
    this.#worker.lifecycle.bumpRevision();
  }

  /** Acts on a fault even if the audit log cannot be written. The run then continues at full speed to find the rest. */
  #act(findings: Findings): void {
    const before = this.#findings;
    this.#findings = findings;
    this.#throttle?.expedite();
    this.#markCorrupt(mergeRanges(this.#known, findings.ranges));
    if (before.residency && !findings.residency) {
      void this.#worker.shardAudit.appendBestEffort(
        { event: 'PolicyViolation', severity: 'critical' },
        this.#shard,
        this.#actor,
      );
    }
    if (this.#isFaulty) this.#hasMore = true;
    else this.#recordFailure();
    this.#isFaulty = true;
  }

  /** A shard stays corrupt until it is repaired or released. One that is being released is left alone. */
  #markCorrupt(ranges: readonly ByteRange[]): void {
    const { state } = this.#shard;
    if (state !== 'sealed' && state !== 'corrupt') return;
    this.#shard.markCorrupt(ranges, repairStatusOf(this.#shard));
    this.#worker.lifecycle.bumpRevision();
  }

  /** Called at the first fault, and at the end if there was more damage. */
  #recordFailure(): void {
    const ranges = rangeFields(this.#findings.ranges.length > 0 ? this.#findings.ranges : this.#known);
    const fields = { ...ranges, ...this.#candidateFields() };
    const entry = { event: 'SealVerificationFailed', severity: 'critical', fields } as const;
    this.#recorded = this.#worker.shardAudit.appendBestEffort(entry, this.#shard, this.#actor);
  }

  /** The processes that may have caused the damage. Absent if none had the memory. */
  #candidateFields(): AuditFields {
    const candidates = this.#worker.leases.candidates(this.#shard, this.#seal);
    if (candidates.length === 0) return {};
    const listed = candidates.slice(0, maxListedLeases).map(leaseFields);
    return { candidates: listed, candidate_count: candidates.length };
  }

  #observe(outcome: ErrorCode | 'ok'): void {
    const seconds = (performance.now() - this.startedAt.monotonicMs) / 1000;
    this.#worker.observer.verified(outcome, this.#shard.vramBytes, seconds);
  }
}
