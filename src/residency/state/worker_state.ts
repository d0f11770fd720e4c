import { type Actor, systemActor } from '../../audit/actor.js';
import { AuthFailures } from '../../audit/auth_failures.js';
import type { AuditEvent, AuditFields, AuditSeverity } from '../../audit/event.js';
import { AuditWriter } from '../../audit/writer.js';
import { WorkerError } from '../../errors.js';
import type { Driver } from '../../vram/driver.js';
import type { Ingest } from '../commit/ingest.js';
import type { ResidencyOptions } from '../options.js';
import { mostAvailable } from '../plan/placement.js';
import { CommitQueue } from './commit_queue.js';
import { DeviceMemory } from './device_memory.js';
import { DriverHealth } from './driver_health.js';
import { LostShards } from './lost_shards.js';
import { Reservations } from './reservations.js';
import type { Shard } from './shard.js';
import { Shards } from './shards.js';
import type { Signer, WorkerPhase } from './signer.js';

/** Times that freeing is tried at once before a shard is left in `releasing` for a later DELETE. */
const freeAttempts = 3;

/** What the worker has and what is true of it now: devices, shards, reservations, slots. Holds no decision of its own. */
export class WorkerState {
  readonly signer: Signer;
  readonly options: ResidencyOptions;
  readonly audit: AuditWriter;
  readonly authFailures: AuthFailures;
  readonly shards = new Shards();
  readonly reservations: Reservations;
  readonly commitQueue: CommitQueue;
  readonly devices = new Map<number, DeviceMemory>();
  readonly lostShards = new LostShards();
  /** Commits on their way in. */
  readonly ingests = new Set<Ingest>();
  state: WorkerPhase = 'starting';
  #driver: Driver | undefined;
  readonly driverHealth = new DriverHealth(this.devices, (error) => this.#end(error));
  #revision = 0;

  constructor(signer: Signer, options: ResidencyOptions) {
    this.signer = signer;
    this.options = options;
    this.audit = new AuditWriter({
      path: options.auditLog,
      maxBytes: options.auditMaxBytes,
      signer,
      onChange: (cause) => this.#auditTurned(cause),
    });
    this.authFailures = new AuthFailures({
      write: (entry, requestId) =>
        this.audit.appendBestEffort('AuthFailed', 'warning', { ...entry }, { name: 'unauthenticated', requestId }),
    });
    this.reservations = new Reservations(options.monotonicMs);
    this.commitQueue = new CommitQueue(options.commitSlots, options.commitQueue);
  }

  /** Grows with every change that a poller could see. */
  get revision(): number {
    return this.#revision;
  }

  bumpRevision(): void {
    this.#revision++;
  }

  /** The driver, once devices are up. @throws WorkerError STARTING */
  get driver(): Driver {
    if (this.#driver !== undefined) return this.#driver;
    throw new WorkerError('STARTING', 'the devices are not up yet', { retryAfterMs: 1000 });
  }

  /** Takes over an opened driver and the devices of it that the worker uses. @throws WorkerError INVALID_PARAMS */
  async adopt(driver: Driver): Promise<void> {
    const all = Array.from({ length: driver.deviceCount }, (_, ordinal) => ordinal);
    for (const ordinal of this.options.gpuDevices ?? all) {
      if (!all.includes(ordinal)) throw new WorkerError('INVALID_PARAMS', `there is no GPU device ${ordinal}`);
      const figures = await driver.device(ordinal);
      this.devices.set(ordinal, new DeviceMemory(ordinal, figures, () => driver.device(ordinal)));
    }
    this.#driver = driver;
    this.state = 'ready';
    this.bumpRevision();
  }

  /** @throws WorkerError INVALID_PARAMS for an index that is none of ours */
  device(gpuDevice: number): DeviceMemory {
    const memory = this.devices.get(gpuDevice);
    if (memory === undefined) throw new WorkerError('INVALID_PARAMS', `there is no GPU device ${gpuDevice}`);
    return memory;
  }

  /** The devices that a request may use. @throws WorkerError INVALID_PARAMS */
  devicesOf(gpuDevices: readonly number[] | undefined): DeviceMemory[] {
    return gpuDevices?.map((ordinal) => this.device(ordinal)) ?? [...this.devices.values()];
  }

  /** The device that a shard without reservation goes to. */
  placeOne(gpuDevice: number | undefined): DeviceMemory {
    const memory = gpuDevice === undefined ? mostAvailable([...this.devices.values()]) : this.device(gpuDevice);
    if (memory === undefined) throw new WorkerError('VRAM_OOM', 'there is no device');
    return memory;
  }

  /** Refuses new work while devices come up, while draining, and while the audit log can't be written. */
  requireOpen(): void {
    this.requireStarted();
    if (this.state === 'draining' || this.state === 'stopped') {
      throw new WorkerError('DRAINING', 'the worker is shutting down', { retryAfterMs: 5000 });
    }
    this.requireAudit();
  }

  /** What is to be looked at every second. */
  tick(): void {
    this.reservations.sweep();
    this.authFailures.tick();
    this.audit.tick();
    this.lostShards.tick();
    void this.driverHealth.check();
  }

  /** @throws WorkerError STARTING, and what ended the driver */
  requireStarted(): void {
    void this.driver;
    if (this.driverHealth.lossError !== undefined) throw this.driverHealth.lossError;
  }

  /** @throws WorkerError AUDIT_UNAVAILABLE */
  requireAudit(): void {
    if (this.audit.tryRecover()) return;
    throw new WorkerError('AUDIT_UNAVAILABLE', 'the audit log cannot be written', { retryAfterMs: 1000 });
  }

  /** A reservation that may be changed now. @throws WorkerError NOT_FOUND, RESERVATION_EXPIRED, AUDIT_UNAVAILABLE */
  requireReservation(reservationId: string): void {
    this.reservations.require(reservationId);
    this.requireAudit();
  }

  #auditTurned(cause: unknown): void {
    if (cause === undefined) this.log('info', 'the audit log can be written again', {});
    else this.log('error', 'the audit log cannot be written: nothing is changed until it can', { err: cause });
    this.bumpRevision();
  }

  /** Tells the operator what nobody asked for. */
  log(level: 'info' | 'error', message: string, fields: Readonly<Record<string, unknown>>): void {
    this.options.log?.(level, message, fields);
  }

  /**
   * Wipes and frees a shard's memory and forgets it; if the driver refuses, the shard stays, `releasing`. Whoever comes
   * while that is under way waits for the same.
   */
  discard(record: Shard): Promise<void> {
    const { phase } = record;
    if (phase.state === 'releasing' && phase.attempt !== null) return phase.attempt;
    const attempt = this.#discard(record);
    record.phase = { state: 'releasing', attempt };
    this.bumpRevision();
    return attempt;
  }

  /** Every error of the driver passes here: one that lost the context ends the worker. */
  reportDriverError(error: unknown): unknown {
    this.driverHealth.report(error);
    return error;
  }

  /** Without a driver nothing here can be kept or taken back: whoever waits is told, and the process must go. */
  #end(error: WorkerError): void {
    this.state = 'stopped';
    this.bumpRevision();
    for (const intake of this.ingests) void intake.abort(error);
    this.options.onLost(error);
  }

  /** Writes what is about to take effect on a shard; without the entry it must not. @throws WorkerError AUDIT_UNAVAILABLE */
  appendRequired(event: AuditEvent, record: Shard, fields: AuditFields = {}, actor: Actor = systemActor): void {
    this.audit.appendRequired(event, 'info', { ...fieldsOf(record), ...fields }, actor);
  }

  /** Writes what has come to pass whether it can be written or not; a failure shows in `audit.writable`. */
  appendBestEffort(
    event: AuditEvent,
    severity: AuditSeverity,
    record: Shard,
    fields: AuditFields = {},
    actor: Actor = systemActor,
  ): void {
    this.audit.appendBestEffort(event, severity, { ...fieldsOf(record), ...fields }, actor);
  }

  /** The last entry of this process. */
  noteStop(): void {
    this.authFailures.flush();
    this.audit.appendBestEffort('WorkerStopped', 'info', { boot_id: this.signer.bootId });
    this.audit.close();
  }

  async #discard(record: Shard): Promise<void> {
    try {
      await this.#free(record);
      this.shards.remove(record);
    } catch (error) {
      record.phase = { state: 'releasing', attempt: null };
      throw this.reportDriverError(error);
    } finally {
      this.bumpRevision();
    }
  }

  async #free(record: Shard): Promise<void> {
    record.scrub?.cancel();
    await record.verification?.catch(() => undefined);
    await record.repair;
    for (let attempt = 1; record.allocation !== undefined; attempt++) {
      try {
        await record.allocation.free();
        record.allocation = undefined;
      } catch (error) {
        if (attempt === freeAttempts) throw error;
      }
    }
    record.returnMemory();
  }
}

/** What every entry on a shard says of it. */
function fieldsOf({ identity, memory, vramBytes, seal }: Shard): AuditFields {
  return {
    shard_id: identity.shardId,
    digest: seal?.digest ?? null,
    tree_digest: seal?.treeDigest ?? null,
    model_ref: identity.modelRef,
    gpu_device: memory.gpuDevice,
    vram_bytes: vramBytes,
    ...(seal === undefined ? {} : { jti: seal.jti }),
  };
}
