import type { Actor } from '../../audit/actor.js';
import type { AuditEvent } from '../../audit/event.js';
import { type ErrorCode, outcomeOf, WorkerError } from '../../errors.js';
import type { Load, LoadResult } from '../../vram/load.js';
import { discard } from '../discard.js';
import { issueSeal, recordSeal, reissueHandle } from '../handle/issue.js';
import { keepShard } from '../keep/keep.js';
import { prepareToKeep } from '../keep/prepare.js';
import type { MemoryGrant } from '../state/memory_grant.js';
import type { Proof } from '../state/seal.js';
import { Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';
import type { IngestTarget } from './ingest.js';
import { proveShard } from './prove.js';
import { type AdmittedRequest, type CommitResult, resultOf } from './request.js';

/** Errors that are about the memory or the driver and not about the client. */
const violations = new Map<ErrorCode, AuditEvent>([
  ['POLICY_VIOLATION', 'PolicyViolation'],
  ['SEAL_VERIFICATION_FAILED', 'SealVerificationFailed'],
]);

/**
 * The commit of a new shard, after its admission: open, receive, prove, seal; or undo, after any step but the last. The
 * shard is visible as `receiving` from the start.
 */
export class ShardCommit implements IngestTarget {
  readonly totalBytes: number;
  readonly #worker: WorkerState;
  readonly #request: AdmittedRequest;
  readonly #grant: MemoryGrant;
  readonly #actor: Actor;
  readonly #shard: Shard;
  readonly #startedMs = performance.now();
  /** `allocating` once the audit log says that memory is being allocated. */
  #step: 'admitted' | 'allocating' | 'sealed' = 'admitted';

  constructor(worker: WorkerState, request: AdmittedRequest, grant: MemoryGrant, actor: Actor) {
    this.#worker = worker;
    this.#request = request;
    this.#grant = grant;
    this.#actor = actor;
    this.totalBytes = request.vramBytes;
    const { source, exportable } = request;
    this.#shard = new Shard(request, request.vramBytes, grant, { source, exportable });
    worker.shards.add(this.#shard);
    worker.lifecycle.bumpRevision();
  }

  /** Allocates the device memory. @throws WorkerError AUDIT_UNAVAILABLE, VramError VRAM_OOM and the driver's errors */
  async open(): Promise<Load> {
    const { flatDigest, expectedDigest, expectedTreeDigest, exportable } = this.#request;
    const expected = { expected_digest: expectedDigest ?? null, expected_tree_digest: expectedTreeDigest ?? null };
    const { gpuDevice } = this.#shard.memory;
    await this.#worker.selfTests.require(gpuDevice);
    await this.#worker.shardAudit.appendRequired('VramAllocated', this.#shard, expected, this.#actor);
    this.#step = 'allocating';
    const allocation = await this.#worker.driver.allocate(gpuDevice, this.totalBytes, { exportable });
    this.#shard.allocation = allocation;
    const load = await allocation.load({ flat: flatDigest, tree: expectedTreeDigest === undefined });
    this.#grant.claim.markAllocated();
    return load;
  }

  received(bytes: number): void {
    this.#shard.receivedBytes = bytes;
  }

  /** Proves and seals the shard. `signal` can stop it until the seal takes effect. */
  async complete(received: LoadResult, signal: AbortSignal): Promise<CommitResult> {
    this.#shard.beginSealing();
    this.#worker.lifecycle.bumpRevision();
    const selfTest = () => this.#worker.selfTests.again(this.#shard.memory.gpuDevice);
    const proof = { request: this.#request, digests: received, selfTest, signal };
    return this.#seal(await proveShard(this.#shard, proof), signal);
  }

  /**
   * Records the seal before its effect: in the audit log, then in the manifest. An abort before the manifest's record undoes
   * the commit. The next process restores what the manifest lists, so nothing after that record may fail the commit.
   * @throws WorkerError AUDIT_UNAVAILABLE
   */
  async #seal(proof: Proof, signal: AbortSignal): Promise<CommitResult> {
    const [worker, shard] = [this.#worker, this.#shard];
    const exportedAtMs = await prepareToKeep(worker, shard, proof);
    const unrecorded = issueSeal(shard, proof, worker.signer, { exportedAtMs });
    const seal = await recordSeal(shard, unrecorded, { worker, actor: this.#actor }, (recorded) => {
      signal.throwIfAborted();
      return recorded;
    });
    shard.markIssued(seal);
    await worker.lostShards.remember(shard, seal);
    this.#step = 'sealed';
    this.#grant.consume();
    shard.markSealed(seal);
    worker.lostShards.found(shard.identity.shardId);
    worker.lifecycle.bumpRevision();
    // If this fails, the handle stays current, and the next pass of the rotation reissues it.
    if (seal.kid !== worker.signer.key.kid) await reissueHandle(shard, worker).catch(() => undefined);
    await keepShard(worker, shard);
    return resultOf(shard, shard.seal?.handle ?? seal.handle, true);
  }

  /** Wipes and frees the memory, and returns the reservation. Never rejects. */
  async undo(error: unknown): Promise<void> {
    this.#grant.claim.markReleasing();
    if (this.#step === 'allocating') {
      const fields = { reason: outcomeOf(error) };
      const entry = { event: 'VramDeallocated', severity: 'info', fields } as const;
      await this.#worker.shardAudit.appendBestEffort(entry, this.#shard, this.#actor);
    }
    // If the driver cannot free the memory, the shard stays visible as `releasing` and can be released again.
    await discard(this.#worker, this.#shard).catch(() => undefined);
  }

  ended(error: unknown): void {
    this.#worker.driverHealth.report(error);
    const event = error instanceof WorkerError ? violations.get(error.code) : undefined;
    if (event !== undefined) {
      const entry = { event, severity: 'critical', fields: { detail: String(error) } } as const;
      void this.#worker.shardAudit.appendBestEffort(entry, this.#shard, this.#actor);
    }
    const seconds = (performance.now() - this.#startedMs) / 1000;
    this.#worker.observer.committed(outcomeOf(error), this.totalBytes, seconds);
  }
}
