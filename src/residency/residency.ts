import type { Actor } from '../audit/actor.js';
import type { AuditReader } from '../audit/read/reader.js';
import type { DriverKind } from '../seal/handle.js';
import { sealKeyOf } from '../seal/key.js';
import { momentNow } from '../vram/moment.js';
import { type Admission, admit } from './commit/admission.js';
import { commitSource, type SourceCommit } from './commit/from_source.js';
import { GroupAdmission } from './commit/group_admission.js';
import type { CommitRequest, CommitResult } from './commit/request.js';
import type { Restore } from './commit/restore.js';
import { checkHandle, type HandleVerdict } from './handle/check.js';
import { KeyRotation } from './handle/key_rotation.js';
import { Scrubber } from './integrity/scrubber.js';
import { Verifier } from './integrity/verifier.js';
import { Keeping } from './keep/keeping.js';
import { LeaseService } from './lease/lease_service.js';
import type { ResidencyOptions } from './options.js';
import { type PlanReport, type PlanRequest, plan } from './plan/plan.js';
import { planSource, type SourcePlanReport, type SourcePlanRequest } from './plan/plan_source.js';
import { closeFiles, type ForcedRelease, type ReleaseOutcome, release, releaseAll, releaseSealed } from './release.js';
import { everySecond, start } from './start.js';
import type { DeviceSnapshot } from './state/device_memory.js';
import { drainingError, type WorkerPhase } from './state/lifecycle.js';
import type { ResidencyObserver } from './state/observer.js';
import type { ReservationSnapshot } from './state/reservations.js';
import type { ShardFilter, ShardPage } from './state/shards.js';
import { Signer } from './state/signer.js';
import type { ShardSnapshot } from './state/snapshot.js';
import type { VerifyReport } from './state/verify_report.js';
import { WorkerState } from './state/worker_state.js';
import { type Answer, type Question, signAttestation } from './status/attestation.js';
import { type Health, healthOf } from './status/blockers.js';
import { freshReport, isFresh } from './status/fresh_report.js';
import { type Overview, type OverviewVersion, overviewOf, overviewVersionOf } from './status/overview.js';
import { couldBeReady, type ReadyQuery, type ReadyReport, readyModels } from './status/readiness.js';
import { type ResidencyStats, statsOf } from './status/stats.js';

/** Loads shards into device memory, proves them, and reports which are resident. Its methods throw `WorkerError`. */
export class Residency {
  /** Rotates the seal key. */
  readonly sealKey: KeyRotation;
  /** The leases of other processes on shards. */
  readonly leases: LeaseService;
  readonly keeping: Keeping;
  /** Commits several shards together. */
  readonly groups: GroupAdmission;
  readonly auditReader: AuditReader;
  readonly identity: Pick<Signer, 'workerId' | 'bootId'>;
  readonly #worker: WorkerState;
  readonly #verifier: Verifier;
  readonly #scrubber: Scrubber;
  readonly #ticker: NodeJS.Timeout;
  #restore: Restore | undefined;

  constructor(options: ResidencyOptions) {
    const key = sealKeyOf(options.sealAlgorithm, options.sealSecret, options.workerId);
    this.#worker = new WorkerState(new Signer(options.workerId, options.driverKind, key), options);
    this.identity = this.#worker.signer;
    this.auditReader = this.#worker.auditReader;
    this.sealKey = new KeyRotation(this.#worker);
    this.#verifier = new Verifier(this.#worker);
    this.#scrubber = new Scrubber(this.#worker, this.#verifier);
    this.leases = new LeaseService(this.#worker, this.#verifier, this.#scrubber);
    this.keeping = new Keeping(this.#worker);
    this.groups = new GroupAdmission(this.#worker);
    this.#ticker = everySecond(this.#worker, [this.sealKey, this.#scrubber, this.leases.orphans, this.keeping]);
  }

  /**
   * Opens the audit log, the manifest and the devices. Until it resolves, requests are refused with STARTING. Shards of
   * the previous process are restored afterwards. A shutdown may begin before that.
   * @throws FileInUseError, FileTimeoutError, ManifestError, VramError
   */
  async start(): Promise<void> {
    this.#restore = await start(this.#worker, this.leases.orphans);
    if (!this.#worker.lifecycle.isEnding) await this.#restore?.begin();
    if (!this.#worker.lifecycle.isEnding) this.#scrubber.start();
  }

  get phase(): WorkerPhase {
    return this.#worker.lifecycle.phase;
  }

  get isLeaving(): boolean {
    return this.#worker.lifecycle.isLeaving;
  }

  /** The driver is lost. Only a new process can recover. */
  get isLost(): boolean {
    return this.#worker.lifecycle.lossError !== undefined;
  }

  get driver(): DriverKind {
    return this.#worker.signer.driver;
  }

  get simulated(): boolean {
    return this.#worker.signer.simulated;
  }

  /** Grows whenever the result of `ready` without a nonce could change. */
  get revision(): number {
    return this.#worker.lifecycle.revision;
  }

  /** Calls the listener after each change of `revision`, in the middle of the change. */
  readonly onRevision = (listener: () => void) => void this.#worker.lifecycle.onRevision.push(listener);

  /** Receives the outcome of each operation from now on. */
  observe(observer: ResidencyObserver): void {
    this.#worker.observer = observer;
  }

  /** Finds a device for each shard of a model, and can reserve the memory. A model that does not fit is not an error. */
  readonly plan = (request: PlanRequest): PlanReport => plan(this.#worker, request);

  /** The same for the files of a source, whose headers it reads. See `planSource`. */
  readonly planSource = (request: SourcePlanRequest): Promise<SourcePlanReport> => planSource(this.#worker, request);

  /** @throws WorkerError NOT_FOUND, RESERVATION_EXPIRED, AUDIT_UNAVAILABLE */
  renewReservation(reservationId: string, ttlSeconds?: number): ReservationSnapshot {
    this.#requireReservation(reservationId);
    return this.#worker.reservations.renew(reservationId, ttlSeconds);
  }

  /** @throws WorkerError NOT_FOUND, RESERVATION_EXPIRED, AUDIT_UNAVAILABLE */
  dropReservation(reservationId: string): void {
    this.#requireReservation(reservationId);
    this.#worker.reservations.drop(reservationId);
  }

  /** Admits a commit whose bytes the caller delivers. See `admit`. */
  readonly admit = (request: CommitRequest, actor: Actor): Admission => admit(this.#worker, request, actor);

  /** Commits a file of a source. See `commitSource`. */
  readonly commitSource = (commit: SourceCommit): Promise<CommitResult> => commitSource(this.#worker, commit);

  /** @throws WorkerError NOT_FOUND */
  shard(shardId: string): ShardSnapshot {
    this.#worker.lifecycle.requireStarted();
    return this.#worker.shards.require(shardId).snapshot();
  }

  shards(filter: ShardFilter): ShardPage {
    this.#worker.lifecycle.requireStarted();
    return this.#worker.shards.page(filter);
  }

  /**
   * Digests a shard's bytes on the device. No byte is read before `askedAt`, when the request came in.
   * @throws WorkerError NOT_FOUND, SHARD_BUSY, CUDA_ERROR, AUDIT_UNAVAILABLE
   */
  async verify(shardId: string, actor: Actor, askedAt = momentNow()): Promise<VerifyReport> {
    this.#worker.lifecycle.requireStarted();
    return this.#verifier.run(this.#worker.shards.require(shardId), actor, askedAt);
  }

  /** Wipes and frees a shard, or forgets a lost one. See `release`. */
  readonly release = (shardId: string, actor: Actor, forced?: ForcedRelease): Promise<ReleaseOutcome> =>
    release(this.#worker, shardId, actor, forced);

  /**
   * Attests which shards are resident. First verifies those that are older than the query allows. Resolves with a function
   * that reports what is resident when it is called.
   */
  ready(query: ReadyQuery): Promise<() => Promise<ReadyReport>> {
    return freshReport(this.#worker, this.#verifier, this.#scrubber, query);
  }

  /** Whether every sealed shard was last verified within the age that a query allows. Visits no shard. */
  readonly isFresh = (query: ReadyQuery): boolean => isFresh(this.#worker, query);

  /** Signs the answer to a question. */
  readonly attest = (asked: Question, answer: Answer): string => signAttestation(this.#worker.signer, asked, answer);

  /** Whether `ready` could be true now, for one model or for any. */
  readonly couldBeReady = (modelRef: string | undefined): boolean => couldBeReady(this.#worker, modelRef);

  /** The models for which `ready` would be true now, in the order of their names. */
  readonly readyModels = (): string[] => readyModels(this.#worker);

  /** Whether a handle is authentic and current. */
  readonly verifyHandle = (handle: string): HandleVerdict => checkHandle(handle, this.#worker);

  /** @throws WorkerError STARTING, or the loss of the driver */
  readonly devices = (): DeviceSnapshot[] => this.#worker.deviceSnapshots();

  /** Whether the worker accepts work. An empty worker does. */
  readonly health = (): Promise<Health> => healthOf(this.#worker);

  readonly stats = (): ResidencyStats => statsOf(this.#worker, this.#scrubber.status);

  /** What an operator sees at a glance. One moment, so that its figures agree. */
  readonly overview = (): Overview => overviewOf(this.#worker, this.#scrubber.status);
  readonly overviewVersion = (): OverviewVersion => overviewVersionOf(this.#worker);

  /** Records that a token was replaced. */
  readonly tokenReplaced = (role: string): void =>
    void this.#worker.audit.appendBestEffort('TokenReplaced', 'warning', { role });

  /** Records a failed authentication. `fingerprint` identifies the token without revealing it. */
  readonly authFailed = (fingerprint: string, remoteAddress: string, requestId: string): void =>
    this.#worker.authFailures.add(fingerprint, remoteAddress, requestId);

  /** Pauses or resumes scrubbing. Verifications on request still run. */
  readonly pauseScrub = (paused: boolean): void => this.#scrubber.pause(paused);

  /** From now on `health` is not ok, so that load balancers send no more requests. The worker still accepts work. */
  readonly announceShutdown = (): void => this.#worker.lifecycle.announceShutdown();

  /** Refuses new work from now on; `ready` is false. Commits in progress continue, but sealed shards are wiped now. */
  drain(): void {
    if (this.phase !== 'stopped') this.#worker.lifecycle.beginDraining();
    this.#scrubber.stop();
    this.#restore?.stop();
    this.#worker.leases.wake();
    void releaseSealed(this.#worker);
  }

  get commitsInProgress(): number {
    return this.#worker.ingests.size;
  }

  /** Ends the commits in progress with DRAINING. Those whose bytes all arrived are sealed first. */
  async abortCommits(): Promise<void> {
    await Promise.allSettled([...this.#worker.ingests].map((ingest) => ingest.stop(drainingError())));
  }

  /** Stops without the driver: no memory can be wiped. */
  async abandon(): Promise<void> {
    clearInterval(this.#ticker);
    await closeFiles(this.#worker);
  }

  /** Wipes and frees every shard, and closes the driver. @throws VramError if some memory could not be wiped */
  async stop(): Promise<void> {
    clearInterval(this.#ticker);
    const hadDevices = this.phase !== 'starting';
    this.drain();
    this.#worker.lifecycle.stop();
    await (hadDevices ? releaseAll(this.#worker, this.abortCommits()) : this.abortCommits());
  }

  #requireReservation(reservationId: string): void {
    this.#worker.reservations.require(reservationId);
    this.#worker.requireAudit();
  }
}
