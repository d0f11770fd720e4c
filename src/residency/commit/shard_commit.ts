import type { Actor } from '../../audit/actor.js';
import type { AuditEvent } from '../../audit/event.js';
import { type ErrorCode, outcomeOf, WorkerError } from '../../errors.js';
import type { Load, LoadResult } from '../../vram/load.js';
import { discard, freeUnsealed } from '../discard.js';
import { maxWritersOf } from '../options.js';
import type { MemoryGrant } from '../state/memory_grant.js';
import type { Proof } from '../state/seal.js';
import { Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';
import type { IngestTarget } from './ingest.js';
import { proveAgain, proveShard } from './prove.js';
import type { AdmittedRequest, CommitResult } from './request.js';
import { type ProvenShard, sealShards } from './seal_shards.js';

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
  readonly maxWriters: number;
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
    this.maxWriters = maxWritersOf(worker.options, request.flatDigest);
    const { source, exportable } = request;
    this.#shard = new Shard(request, request.vramBytes, grant, { source, exportable });
    worker.shards.add(this.#shard);
    worker.lifecycle.bumpRevision();
  }

  get gpuDevice(): number {
    return this.#shard.memory.gpuDevice;
  }

  /** Allocates the device memory. @throws WorkerError AUDIT_UNAVAILABLE, VramError VRAM_OOM and the driver's errors */
  async open(): Promise<Load> {
    const { flatDigest, expectedDigest, expectedTreeDigest, exportable } = this.#request;
    const { sourceText: source } = this.#shard;
    const digests = { expected_digest: expectedDigest ?? null, expected_tree_digest: expectedTreeDigest ?? null };
    const expected = source === null ? digests : { ...digests, source };
    const { gpuDevice } = this.#shard.memory;
    if (this.#shard.allocation !== undefined)
      throw new WorkerError('CUDA_ERROR', 'The memory of a failed attempt cannot be freed');
    await this.#worker.selfTests.require(gpuDevice);
    await this.#worker.shardAudit.appendRequired('VramAllocated', this.#shard, expected, this.#actor);
    this.#step = 'allocating';
    this.#grant.claim.markAllocating();
    const allocation = await this.#worker.driver.allocate(gpuDevice, this.totalBytes, { exportable });
    this.#grant.claim.markAllocated();
    this.#shard.allocation = allocation;
    return allocation.load({ flat: flatDigest, tree: expectedTreeDigest === undefined }, { thenProve: true });
  }

  received(bytes: number): void {
    this.#shard.receivedBytes = bytes;
  }

  /** Proves and seals the shard. `signal` can stop it until the seal takes effect. */
  async complete(received: LoadResult, signal: AbortSignal): Promise<CommitResult> {
    const proven = this.provenBy(await this.prove(received, signal));
    const [result] = await sealShards(this.#worker, [proven], { actor: this.#actor, signal });
    if (result === undefined) throw new WorkerError('INTERNAL', 'The seal has no result');
    return result;
  }

  /** Proves the received bytes. `signal` can stop it. Throws as `proveShard` does. */
  prove(received: LoadResult, signal: AbortSignal): Promise<Proof> {
    this.#shard.beginSealing();
    this.#worker.lifecycle.bumpRevision();
    const selfTest = () => this.#worker.selfTests.again(this.#shard.memory.gpuDevice);
    return proveShard(this.#shard, { request: this.#request, digests: received, selfTest, signal });
  }

  /** Digests the proven shard again. Throws as `proveAgain` does. */
  proveAgain(proof: Proof, signal: AbortSignal): Promise<Proof> {
    return proveAgain(this.#shard, proof, signal);
  }

  /** The shard for `sealShards`. */
  provenBy(proof: Proof): ProvenShard {
    const onSealed = () => {
      this.#step = 'sealed';
    };
    return { shard: this.#shard, proof, onSealed };
  }

  /**
   * Wipes and frees the memory of a failed attempt, so that the bytes can be received again. The shard keeps its id and its
   * claim. If the driver refuses, `open` throws. Never rejects.
   */
  async reset(error: unknown): Promise<void> {
    await this.#recordFreed(error);
    this.#step = 'admitted';
    await freeUnsealed(this.#shard).catch((cause: unknown) => this.#worker.driverHealth.report(cause));
    this.#shard.receiveAgain();
    this.#worker.lifecycle.bumpRevision();
  }

  /** Wipes and frees the memory, and returns the reservation. Never rejects. */
  async undo(error: unknown): Promise<void> {
    await this.#recordFreed(error);
    // If the driver cannot free the memory, the shard stays visible as `releasing`, and the worker tries again.
    await discard(this.#worker, this.#shard).catch(() => undefined);
  }

  /** `isCause`: the error is about this shard, not about another one of its group. */
  ended(error: unknown, isCause = true): void {
    this.#worker.driverHealth.report(error);
    const event = isCause && error instanceof WorkerError ? violations.get(error.code) : undefined;
    if (event !== undefined) {
      const entry = { event, severity: 'critical', fields: { detail: String(error) } } as const;
      void this.#worker.shardAudit.appendBestEffort(entry, this.#shard, this.#actor);
    }
    const seconds = (performance.now() - this.#startedMs) / 1000;
    this.#worker.observer.committed(outcomeOf(error), this.totalBytes, seconds);
  }

  async #recordFreed(error: unknown): Promise<void> {
    this.#grant.claim.markReleasing();
    if (this.#step !== 'allocating') return;
    const fields = { reason: outcomeOf(error) };
    const entry = { event: 'VramDeallocated', severity: 'info', fields } as const;
    await this.#worker.shardAudit.appendBestEffort(entry, this.#shard, this.#actor);
  }
}
