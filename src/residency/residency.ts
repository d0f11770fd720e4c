import type { Actor } from '../audit/actor.js';
import { WorkerError } from '../errors.js';
import { sealKeyOf } from '../seal/key.js';
import { Driver } from '../vram/driver.js';
import { type Admission, admit } from './commit/admission.js';
import { commitFile } from './commit/from_file.js';
import { slotsPerCommit } from './commit/ingest.js';
import type { CommitRequest, CommitResult } from './commit/request.js';
import type { Restore } from './commit/restore.js';
import { checkHandle, type HandleVerdict } from './handle/check.js';
import { KeyRotation } from './handle/key_rotation.js';
import { Scrubber } from './integrity/scrubber.js';
import { Verifier } from './integrity/verifier.js';
import type { ResidencyOptions } from './options.js';
import { type PlanReport, type PlanRequest, plan } from './plan/plan.js';
import { release, releaseAll } from './release.js';
import type { DeviceSnapshot } from './state/device_memory.js';
import type { ReservationSnapshot } from './state/reservations.js';
import type { ShardFilter, ShardPage } from './state/shards.js';
import { type DriverKind, type ResidencyObserver, Signer, silent, type WorkerPhase } from './state/signer.js';
import type { ShardSnapshot, VerifyReport } from './state/snapshot.js';
import { WorkerState } from './state/worker_state.js';
import { type Health, healthOf } from './status/blockers.js';
import { type ReadyQuery, type ReadyReport, readyFacts, readyReport } from './status/readiness.js';
import { type ResidencyStats, statsOf } from './status/stats.js';

/**
 * The sealing service: puts shards into device memory, proves them, and says what is here. The one door of this floor.
 * Every method throws `WorkerError` and nothing else on purpose.
 */
export class Residency {
  observer: ResidencyObserver = silent;
  /** The key that signs, and how another takes its place. */
  readonly sealKey: KeyRotation;
  readonly #inventory: WorkerState;
  readonly #verifications: Verifier;
  readonly #scrubber: Scrubber;
  readonly #sweeper: NodeJS.Timeout;
  #restart: Restore | undefined;

  constructor(options: ResidencyOptions) {
    const key = sealKeyOf(options.sealAlgorithm, options.sealSecret, options.workerId);
    const worker = new Signer(options.workerId, options.driverKind, key);
    this.#inventory = new WorkerState(worker, options);
    this.sealKey = new KeyRotation(this.#inventory);
    this.#verifications = new Verifier(this.#inventory, () => this.observer);
    this.#scrubber = new Scrubber(this.#inventory, this.#verifications);
    this.#sweeper = setInterval(() => {
      this.#inventory.tick();
      this.sealKey.tick();
    }, 1000).unref();
  }

  /**
   * Brings the devices up. Until it resolves every request is refused with STARTING; shards of an earlier process are
   * restored afterwards. @throws ManifestError, VramError
   */
  async start(): Promise<void> {
    const { options, audit, signer } = this.#inventory;
    await audit.open();
    if (options.manifest !== undefined) {
      const { openRestore: openRestart } = await import('./commit/restore.js');
      this.#restart = openRestart(options.manifest, this.#inventory, () => this.observer);
    }
    const slots = options.commitSlots + (this.#restart?.slots ?? 0);
    const driver = await Driver.open({
      ...options,
      maxAllocationBytes: options.maxModelBytes,
      stagingSlots: slots * slotsPerCommit,
      onHang: (error) => this.#inventory.driverHealth.markLost(error),
    });
    try {
      await this.#inventory.adopt(driver);
    } catch (error) {
      await driver.close();
      throw error;
    }
    const fields = { worker_id: signer.workerId, boot_id: signer.bootId, driver: signer.driver };
    // A log that can't be written is no reason not to start: until it can, every mutation is refused and ready says why.
    audit.appendBestEffort('WorkerStarted', 'info', fields);
    this.#restart?.begin();
    this.#scrubber.start();
  }

  get state(): WorkerPhase {
    return this.#inventory.state;
  }

  /** Whether the driver is lost: only a new process helps. */
  get lost(): boolean {
    return this.#inventory.driverHealth.lossError !== undefined;
  }

  get driver(): DriverKind {
    return this.#inventory.signer.driver;
  }

  get simulated(): boolean {
    return this.#inventory.signer.simulated;
  }

  /** Changes whenever `ready` without a nonce may answer differently. */
  get revision(): string {
    return `${this.#inventory.signer.bootId}.${this.#inventory.revision}`;
  }

  /** Says where a model fits, and holds the memory if that is asked. What does not fit is an answer, not an error. */
  plan(request: PlanRequest): PlanReport {
    return plan(this.#inventory, request);
  }

  /** @throws WorkerError NOT_FOUND, RESERVATION_EXPIRED, AUDIT_UNAVAILABLE */
  renewReservation(reservationId: string, ttlSeconds?: number): ReservationSnapshot {
    this.#inventory.requireReservation(reservationId);
    return this.#inventory.reservations.renew(reservationId, ttlSeconds);
  }

  /** @throws WorkerError NOT_FOUND, RESERVATION_EXPIRED, AUDIT_UNAVAILABLE */
  dropReservation(reservationId: string): void {
    this.#inventory.requireReservation(reservationId);
    this.#inventory.reservations.drop(reservationId);
  }

  /** Decides a commit whose bytes the caller brings. See `admit`. */
  admit(request: CommitRequest, actor: Actor): Admission {
    return admit(this.#inventory, request, () => this.observer, actor);
  }

  /** Commits a file below the model directory; its length is the shard's. `signal` gives the commit up. */
  commitFile(
    request: Omit<CommitRequest, 'vramBytes'>,
    path: string,
    actor: Actor,
    signal?: AbortSignal,
  ): Promise<CommitResult> {
    return commitFile(this.#inventory, request, path, () => this.observer, actor, signal);
  }

  /** @throws WorkerError NOT_FOUND */
  shard(shardId: string): ShardSnapshot {
    this.#inventory.requireStarted();
    return this.#inventory.shards.require(shardId).snapshot();
  }

  shards(filter: ShardFilter): ShardPage {
    this.#inventory.requireStarted();
    return this.#inventory.shards.page(filter);
  }

  /** Digests the shard's bytes on the device now. @throws WorkerError NOT_FOUND, SHARD_BUSY, CUDA_ERROR, AUDIT_UNAVAILABLE */
  async verify(shardId: string, actor: Actor): Promise<VerifyReport> {
    this.#inventory.requireStarted();
    return this.#verifications.run(this.#inventory.shards.require(shardId), actor);
  }

  /**
   * Wipes and frees a shard, or forgets a lost one; waits for a verification.
   * @throws WorkerError NOT_FOUND, SHARD_BUSY, CUDA_ERROR, AUDIT_UNAVAILABLE
   */
  release(shardId: string, actor: Actor): Promise<void> {
    return release(this.#inventory, shardId, actor);
  }

  /** Attests what is here; verifies first what is older than the query allows. */
  async ready(query: ReadyQuery): Promise<ReadyReport> {
    const { modelRef, maxAgeSeconds } = query;
    const unverified =
      maxAgeSeconds === undefined ? [] : await this.#verifications.refresh(modelRef, maxAgeSeconds, query);
    return readyReport(readyFacts(this.#inventory, modelRef, unverified, this.#scrubber.status), query);
  }

  /** Whether a handle is authentic and the one that stands now. */
  verifyHandle(handle: string): HandleVerdict {
    return checkHandle(handle, this.#inventory);
  }

  devices(): DeviceSnapshot[] {
    this.#inventory.requireStarted();
    this.#inventory.reservations.sweep();
    return [...this.#inventory.devices.values()].map((device) => device.snapshot());
  }

  /** Whether the worker can be given work; an empty one can. */
  health(): Health {
    return healthOf(this.#inventory);
  }

  stats(): ResidencyStats {
    this.#inventory.reservations.sweep();
    return statsOf(this.#inventory, this.#scrubber.status);
  }

  /** A token was replaced; the one before it opens nothing any more. */
  tokenReplaced(role: string): void {
    this.#inventory.audit.appendBestEffort('TokenReplaced', 'warning', { role });
  }

  /** Somebody came without the right token; only a fingerprint of what they brought is kept. */
  authFailed(fingerprint: string, remoteAddress: string, requestId: string): void {
    this.#inventory.authFailures.add(fingerprint, remoteAddress, requestId);
  }

  /** Stops verifying in the background, or goes on with it. What somebody asks for is verified all the same. */
  pauseScrub(paused: boolean): void {
    this.#scrubber.pause(paused);
  }

  /** From here on nothing new is admitted and `ready` is false; what is under way goes on. */
  drain(): void {
    if (this.state !== 'stopped') this.#inventory.state = 'draining';
    this.#inventory.bumpRevision();
    this.#scrubber.stop();
    this.#restart?.stop();
  }

  get commitsUnderWay(): number {
    return this.#inventory.ingests.size;
  }

  /** Ends the commits still on their way in, with DRAINING; those whose bytes have all come are sealed first. */
  async abortCommits(): Promise<void> {
    const reason = new WorkerError('DRAINING', 'the worker is shutting down', { retryAfterMs: 5000 });
    await Promise.allSettled([...this.#inventory.ingests].map((intake) => intake.stop(reason)));
  }

  /** Stops without a driver: nothing can be wiped any more. */
  abandon(): void {
    clearInterval(this.#sweeper);
    this.#inventory.noteStop();
  }

  /** Wipes and frees everything, and lets the devices go. @throws VramError when something could not be wiped */
  async stop(): Promise<void> {
    const inventory = this.#inventory;
    clearInterval(this.#sweeper);
    const started = inventory.state !== 'starting';
    this.drain();
    inventory.state = 'stopped';
    inventory.bumpRevision();
    await this.abortCommits();
    if (started) await releaseAll(inventory);
  }
}
