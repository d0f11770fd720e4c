import { setTimeout as sleep } from 'node:timers/promises';
import { AuthFailures } from '../../audit/auth_failures.js';
import { AuditReader } from '../../audit/read/reader.js';
import { AuditWriter } from '../../audit/writer.js';
import { WorkerError } from '../../errors.js';
import type { KeeperClient } from '../../keeper/keeper_client.js';
import { FileCalls } from '../../storage/file_calls.js';
import type { Driver } from '../../vram/driver.js';
import { FileInUseError, FileLock } from '../../vram/file_lock.js';
import type { OldestCalls } from '../../vram/library.js';
import { selfTest } from '../../vram/self_test.js';
import type { ResidencyOptions } from '../options.js';
import { ModelSources } from '../source/model_sources.js';
import type { Abortable } from './abortable.js';
import { CommitQueue } from './commit_queue.js';
import { DeviceMemory, type DeviceSnapshot } from './device_memory.js';
import { DriverHealth } from './driver_health.js';
import type { HashFiles } from './hash_files.js';
import { Leases } from './leases.js';
import { Lifecycle, startingError } from './lifecycle.js';
import { LostShards } from './lost_shards.js';
import { type ResidencyObserver, silentObserver } from './observer.js';
import { Reservations } from './reservations.js';
import { SelfTests } from './self_tests.js';
import { ShardAudit } from './shard_audit.js';
import { Shards } from './shards.js';
import type { Signer } from './signer.js';

/** How long a poll waits for the files to recover. */
const recoveryWaitMs = 200;

/** The state of the worker: devices, shards, reservations, the queue, the audit log. It makes no decisions. */
export class WorkerState {
  readonly options: ResidencyOptions;
  readonly signer: Signer;
  readonly audit: AuditWriter;
  /** Undefined without an audit log. */
  readonly auditLock: FileLock | undefined;
  readonly auditReader: AuditReader;
  readonly shardAudit: ShardAudit;
  readonly authFailures: AuthFailures;
  readonly lifecycle: Lifecycle;
  readonly devices = new Map<number, DeviceMemory>();
  readonly driverHealth: DriverHealth;
  readonly shards = new Shards(() => this.lifecycle.bumpRevision());
  readonly reservations: Reservations;
  readonly commitQueue: CommitQueue;
  readonly selfTests = new SelfTests((gpuDevice) => selfTest(this.driver, gpuDevice));
  readonly lostShards = new LostShards();
  readonly leases = new Leases();
  readonly sources: ModelSources;
  readonly ingests = new Set<Abortable>();
  /** Undefined if no keeper holds the memory of shards. */
  keeper: KeeperClient | undefined;
  /** Undefined as `keeper` is. */
  hashFiles: HashFiles | undefined;
  observer: ResidencyObserver = silentObserver;
  #driver: Driver | undefined;

  constructor(signer: Signer, options: ResidencyOptions) {
    this.signer = signer;
    this.options = options;
    this.auditLock = options.auditLog === undefined ? undefined : new FileLock(options.auditLog, 'WORKER_AUDIT_LOG');
    this.audit = new AuditWriter({
      path: options.auditLog,
      maxBytes: options.auditMaxBytes,
      signer,
      lock: this.auditLock,
      onChange: (cause) => this.#auditChanged(cause),
    });
    this.auditReader = new AuditReader({ path: options.auditLog, lastSeq: () => this.audit.lastSeq });
    this.shardAudit = new ShardAudit(this.audit);
    this.authFailures = new AuthFailures({
      write: (entry, requestId) =>
        void this.audit.appendBestEffort('AuthFailed', 'warning', { ...entry }, { name: 'unauthenticated', requestId }),
    });
    this.lifecycle = new Lifecycle(() => this.requireAudit());
    this.driverHealth = new DriverHealth(this.devices, (error) => this.#driverLost(error));
    this.reservations = new Reservations(options.monotonicMs);
    this.sources = new ModelSources(this, options);
    this.commitQueue = new CommitQueue(options.commitSlots, options.commitQueue);
  }

  /** @throws WorkerError STARTING before the devices are up */
  get driver(): Driver {
    if (this.#driver !== undefined) return this.#driver;
    throw startingError();
  }

  /** How long the oldest native calls have been running. */
  get oldestCalls(): OldestCalls {
    return this.#driver?.oldestCalls ?? { driverMs: 0, fileMs: 0 };
  }

  /**
   * Opens the audit log. If the lock fails for another reason than another worker, the log counts as unwritable. The
   * worker then starts, and tries again. @throws FileInUseError if another worker uses the file
   */
  async openAudit(): Promise<void> {
    const { auditLock } = this;
    const files = new FileCalls(this.options.fileTimeoutSeconds);
    try {
      if ((await files.run('WORKER_AUDIT_LOG', async () => auditLock?.acquire())) === false) {
        this.log('info', 'the file system of the audit log does not support locks', {});
      }
    } catch (error) {
      if (error instanceof FileInUseError) throw error;
    }
    await this.audit.open();
  }

  /** Takes over an open driver, and tests its devices. @throws VramError, or the failure of a self-test */
  async adopt(driver: Driver): Promise<void> {
    if (driver.isSimulator) this.signer.driver = 'simulated';
    this.#driver = driver;
    for (const gpu_device of await this.selfTests.begin(driver.ordinals)) {
      this.log('warn', 'GPU has no free memory for its self-test, which will run before the first commit', {
        gpu_device,
      });
    }
    for (const ordinal of driver.ordinals) {
      const figures = await driver.device(ordinal);
      const exportError = await this.#exportError(driver, ordinal);
      this.devices.set(ordinal, new DeviceMemory(ordinal, figures, () => driver.device(ordinal), exportError));
    }
    this.lifecycle.devicesUp();
    if (this.lostShards.restoring.total > 0) this.lifecycle.beginLoading();
  }

  async #exportError(driver: Driver, ordinal: number): Promise<string | null> {
    if (!this.options.attach) return null;
    const error = await driver.exportError(ordinal);
    if (error !== null) {
      this.log('warn', 'GPU cannot share memory with other processes', { gpu_device: ordinal, detail: error });
    }
    return error;
  }

  /** A client may take memory. @throws WorkerError STARTING, DRAINING, AUDIT_UNAVAILABLE, or the loss of the driver */
  requireOpenToClients(): void {
    if (this.lostShards.isClaiming) throw startingError();
    this.lifecycle.requireOpen();
    this.lostShards.requireWritable();
  }

  /** @throws WorkerError INVALID_PARAMS if the worker does not use such a device */
  device(gpuDevice: number): DeviceMemory {
    const memory = this.devices.get(gpuDevice);
    if (memory === undefined) throw noDevice(gpuDevice);
    return memory;
  }

  /** The devices that a request may use; all of them by default. @throws WorkerError INVALID_PARAMS */
  devicesOf(gpuDevices: readonly number[] | undefined): DeviceMemory[] {
    return gpuDevices?.map((ordinal) => this.device(ordinal)) ?? [...this.devices.values()];
  }

  /** @throws WorkerError STARTING, or the loss of the driver */
  deviceSnapshots(): DeviceSnapshot[] {
    this.lifecycle.requireStarted();
    this.reservations.dropExpired();
    return [...this.devices.values()].map((device) => device.snapshot());
  }

  /** @throws WorkerError AUDIT_UNAVAILABLE while the audit log cannot be written; it then tries again in the background */
  requireAudit(): void {
    if (this.audit.isWritable) return;
    void this.audit.recover();
    throw new WorkerError('AUDIT_UNAVAILABLE', 'The audit log cannot be written', { retryAfterMs: 1000 });
  }

  /** After a failure, tries the audit log and the manifest again, so that a poll reports their recovery. */
  async recoverFiles(): Promise<void> {
    if (this.audit.isWritable && this.lostShards.isWritable) return;
    const recovered = Promise.all([this.audit.recover(), this.lostShards.manifest?.recover()]);
    await Promise.race([recovered, sleep(recoveryWaitMs, undefined, { ref: false })]);
  }

  /** Periodic work. Called every second. */
  tick(): void {
    this.reservations.dropExpired();
    this.authFailures.tick();
    void this.audit.tick();
    void this.lostShards.manifest?.tick();
    void this.driverHealth.check();
  }

  /** Logs background events. */
  log(level: 'info' | 'warn' | 'error', message: string, fields: Readonly<Record<string, unknown>>): void {
    this.options.log?.(level, message, fields);
  }

  #auditChanged(cause: unknown): void {
    if (cause === undefined) this.log('info', 'audit log is writable again', {});
    else this.log('error', 'audit log cannot be written; refusing all changes until it can', { err: cause });
    this.lifecycle.bumpRevision();
  }

  /** Logs that the manifest cannot be written, or can again. */
  manifestChanged(cause: unknown): void {
    if (cause === undefined) this.log('info', 'manifest is writable again', {});
    else this.log('error', 'manifest cannot be written; refusing commits and releases until it can', { err: cause });
  }

  #driverLost(error: WorkerError): void {
    this.lifecycle.loseDriver(error);
    for (const ingest of this.ingests) void ingest.abort(error);
    this.options.onLost(error);
  }
}

const noDevice = (gpuDevice: number): WorkerError =>
  new WorkerError('INVALID_PARAMS', `GPU device ${gpuDevice} does not exist`);
