import { WorkerError } from '../errors.js';
import { outcomeOf } from './admission.js';
import type { Inventory } from './inventory.js';
import type { Origin } from './origin.js';
import type { Seal, ShardRecord } from './record.js';
import type { VerifyReport } from './shard.js';
import { verifyShard } from './verification.js';
import type { Reason, ResidencyObserver } from './worker.js';

/** Shards that one refresh verifies at a time: a commit that comes in between waits for so many, not for all. */
const runsAtOnce = 4;

/** So many damaged ranges stand in one entry of the audit log; the count tells of all. */
const maxToldRanges = 256;

/** Runs verifications and draws the consequences. Those of one shard at one time share one run. */
export class Verifications {
  readonly #inventory: Inventory;
  readonly #observer: () => ResidencyObserver;

  constructor(inventory: Inventory, observer: () => ResidencyObserver) {
    this.#inventory = inventory;
    this.#observer = observer;
  }

  /** `origin` is who asked first: those who join are not told of. @throws WorkerError SHARD_BUSY, AUDIT_UNAVAILABLE, and the driver's errors */
  async run(record: ShardRecord, origin: Origin): Promise<VerifyReport> {
    const { seal } = record;
    if (seal === undefined) throw new WorkerError('SHARD_BUSY', `the shard is ${record.state}`, { retryAfterMs: 1000 });
    record.verification ??= this.#verify(record, seal, origin).finally(() => {
      record.verification = undefined;
    });
    return record.verification;
  }

  /**
   * Verifies the sealed shards of a model, or of all, whose last verification is older. Never rejects: a shard that could
   * not be verified is a reason not to be ready.
   */
  async refresh(modelRef: string | undefined, maxAgeSeconds: number, origin: Origin): Promise<Reason[]> {
    const before = performance.now() - maxAgeSeconds * 1000;
    const isOld = ({ phase }: ShardRecord) => phase.state === 'sealed' && phase.seal.lastVerifiedMonotonicMs < before;
    const old = this.#inventory.shards.ofModel(modelRef).filter(isOld);
    const next = old.values();
    const runs = Array.from({ length: runsAtOnce }, async () => {
      for (const record of next) await this.run(record, origin).catch(() => undefined);
    });
    await Promise.all(runs);
    return old.filter(isOld).map(({ identity }) => ({
      code: 'VERIFICATION_FAILED',
      detail: `shard ${identity.shardId} could not be verified`,
    }));
  }

  async #verify(record: ShardRecord, seal: Seal, origin: Origin): Promise<VerifyReport> {
    const started = performance.now();
    try {
      const report = await verifyShard(record, seal, this.#inventory.worker.key);
      if (!report.verified) this.#condemn(record, seal, report, origin);
      else if (record.phase.state === 'sealed') this.#confirm(record, seal, origin);
      const outcome = report.verified ? 'ok' : 'SEAL_VERIFICATION_FAILED';
      this.#observer().verified(outcome, record.vramBytes, (performance.now() - started) / 1000);
      return report;
    } catch (error) {
      this.#observer().verified(outcomeOf(error), record.vramBytes, (performance.now() - started) / 1000);
      throw this.#inventory.notice(error);
    }
  }

  #confirm(record: ShardRecord, seal: Seal, origin: Origin): void {
    this.#inventory.require('SealVerified', record, {}, origin);
    seal.lastVerifiedAtMs = Date.now();
    seal.lastVerifiedMonotonicMs = performance.now();
    this.#inventory.changed();
  }

  /** Damage is acted on whether it can be written down or not. Once corrupt, a shard stays so until it is released. */
  #condemn(record: ShardRecord, seal: Seal, report: VerifyReport, origin: Origin): void {
    const ranges = report.corruptRanges;
    if (record.phase.state === 'sealed' || record.phase.state === 'corrupt') {
      record.phase = { state: 'corrupt', seal, ranges };
    }
    if (!report.checks.residency) this.#inventory.attempt('PolicyViolation', 'critical', record, {}, origin);
    const found = { corrupt_ranges: ranges.slice(0, maxToldRanges), corrupt_range_count: ranges.length };
    this.#inventory.attempt('SealVerificationFailed', 'critical', record, found, origin);
    this.#inventory.changed();
  }
}
