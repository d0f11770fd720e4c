import { byWorker, type Origin } from '../../audit/actor.js';
import { AuthFailures } from '../../audit/auth_failures.js';
import type { AuditEvent, AuditFields, AuditSeverity } from '../../audit/event.js';
import { Audit } from '../../audit/writer.js';
import { WorkerError } from '../../errors.js';
import type { Driver } from '../../vram/driver.js';
import type { Intake } from '../commit/ingest.js';
import type { ResidencyOptions } from '../options.js';
import { roomiest } from '../plan/placement.js';
import { Turns } from './commit_queue.js';
import { DeviceMemory } from './device_memory.js';
import { Heartbeat } from './driver_health.js';
import { Ledger } from './lost_shards.js';
import { Reservations } from './reservations.js';
import type { ShardRecord } from './shard.js';
import { Shards } from './shards.js';
import type { WorkerIdentity, WorkerState } from './signer.js';

/** Times that freeing is tried at once before a shard is left in `releasing` for a later DELETE. */
const freeAttempts = 3;

/** What the worker has and what is true of it now: devices, shards, reservations, slots. Holds no decision of its own. */
export class Inventory {
  readonly worker: WorkerIdentity;
  readonly options: ResidencyOptions;
  readonly audit: Audit;
  readonly failures: AuthFailures;
  readonly shards = new Shards();
  readonly reservations: Reservations;
  readonly turns: Turns;
  readonly devices = new Map<number, DeviceMemory>();
  readonly ledger = new Ledger();
  /** Commits on their way in. */
  readonly intakes = new Set<Intake>();
  state: WorkerState = 'starting';
  #driver: Driver | undefined;
  readonly heartbeat = new Heartbeat(this.devices, (error) => this.#end(error));
  #revision = 0;

  constructor(worker: WorkerIdentity, options: ResidencyOptions) {
    this.worker = worker;
    this.options = options;
    this.audit = new Audit({
      path: options.auditLog,
      maxBytes: options.auditMaxBytes,
      worker,
      changed: (cause) => this.#auditTurned(cause),
    });
    this.failures = new AuthFailures({
      write: (entry, requestId) =>
        this.audit.note('AuthFailed', 'warning', { ...entry }, { actor: 'unauthenticated', requestId }),
    });
    this.reservations = new Reservations(options.monotonicMs);
    this.turns = new Turns(options.commitSlots, options.commitQueue);
  }

  /** Grows with every change that a poller could see. */
  get revision(): number {
    return this.#revision;
  }

  changed(): void {
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
    this.changed();
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
    const memory = gpuDevice === undefined ? roomiest([...this.devices.values()]) : this.device(gpuDevice);
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
  sweep(): void {
    this.reservations.sweep();
    this.failures.sweep();
    this.audit.watch();
    this.ledger.watch();
    void this.heartbeat.beat();
  }

  /** @throws WorkerError STARTING, and what ended the driver */
  requireStarted(): void {
    void this.driver;
    if (this.heartbeat.lost !== undefined) throw this.heartbeat.lost;
  }

  /** @throws WorkerError AUDIT_UNAVAILABLE */
  requireAudit(): void {
    if (this.audit.probe()) return;
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
    this.changed();
  }

  /** Tells the operator what nobody asked for. */
  log(level: 'info' | 'error', message: string, fields: Readonly<Record<string, unknown>>): void {
    this.options.log?.(level, message, fields);
  }

  /**
   * Wipes and frees a shard's memory and forgets it; if the driver refuses, the shard stays, `releasing`. Whoever comes
   * while that is under way waits for the same.
   */
  discard(record: ShardRecord): Promise<void> {
    const { phase } = record;
    if (phase.state === 'releasing' && phase.attempt !== null) return phase.attempt;
    const attempt = this.#discard(record);
    record.phase = { state: 'releasing', attempt };
    this.changed();
    return attempt;
  }

  /** Every error of the driver passes here: one that lost the context ends the worker. */
  notice(error: unknown): unknown {
    this.heartbeat.notice(error);
    return error;
  }

  /** Without a driver nothing here can be kept or taken back: whoever waits is told, and the process must go. */
  #end(error: WorkerError): void {
    this.state = 'stopped';
    this.changed();
    for (const intake of this.intakes) void intake.abort(error);
    this.options.onLost(error);
  }

  /** Writes what is about to take effect on a shard; without the entry it must not. @throws WorkerError AUDIT_UNAVAILABLE */
  require(event: AuditEvent, record: ShardRecord, fields: AuditFields = {}, origin: Origin = byWorker): void {
    this.audit.append(event, 'info', { ...fieldsOf(record), ...fields }, origin);
  }

  /** Writes what has come to pass whether it can be written or not; a failure shows in `audit.writable`. */
  attempt(
    event: AuditEvent,
    severity: AuditSeverity,
    record: ShardRecord,
    fields: AuditFields = {},
    origin: Origin = byWorker,
  ): void {
    this.audit.note(event, severity, { ...fieldsOf(record), ...fields }, origin);
  }

  /** The last entry of this process. */
  noteStop(): void {
    this.failures.flush();
    this.audit.note('WorkerStopped', 'info', { boot_id: this.worker.bootId });
    this.audit.close();
  }

  async #discard(record: ShardRecord): Promise<void> {
    try {
      await this.#free(record);
      this.shards.remove(record);
    } catch (error) {
      record.phase = { state: 'releasing', attempt: null };
      throw this.notice(error);
    } finally {
      this.changed();
    }
  }

  async #free(record: ShardRecord): Promise<void> {
    record.pace?.cancel();
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
function fieldsOf({ identity, memory, vramBytes, seal }: ShardRecord): AuditFields {
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
