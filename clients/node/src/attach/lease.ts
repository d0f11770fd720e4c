import { AttachError } from './attach_error.js';
import type { AttachEventType } from './attach_event_type.js';
import type { EventStream, EventsOptions } from './event_stream.js';
import { type Library, toNumber } from './library.js';
import type { Address, NativeLease } from './native_types.js';

/** The C library's object of a lease, and what it said when the shard was attached. */
export interface Attached {
  readonly pointer: Address;
  readonly info: NativeLease;
  /** The path of the memory, or why it has none. */
  readonly path: string | AttachError;
  readonly isHostMemory: boolean;
}

/** What a lease needs from its client. */
export interface LeaseOwner {
  readonly library: Library;
  /** Copies bytes of a lease. @throws AttachError */
  read(lease: Lease, offset: number, bytes: number): Promise<Uint8Array>;
  /** Called when a lease is closed while a view keeps it. */
  defer(): Promise<void>;
  events(options: EventsOptions, lease: Lease): AttachEvents;
  /** Detaches a lease. @throws AttachError with status DRIVER_ERROR */
  detach(lease: Lease): Promise<void>;
}

export interface AttachEvent {
  readonly type: AttachEventType;
  /** The lease; undefined if the event is about the worker, or about a lease that was closed. */
  readonly lease: Lease | undefined;
  /** The shard; empty if the event is about none. */
  readonly shardId: string;
  /** With `releasing`: time left, in milliseconds. Otherwise 0. */
  readonly deadlineMs: number;
}

/** The events of a client or a lease. */
export type AttachEvents = EventStream<AttachEvent>;

/**
 * - `active`: the worker knows the lease;
 * - `orphaned`: the connection is down, the memory is readable, and the client tries to resume;
 * - `stale`: the worker no longer has this memory; it is readable until the lease is closed;
 * - `closed`: the lease was closed here.
 */
export type LeaseState = 'active' | 'orphaned' | 'stale' | 'closed';

const states: readonly LeaseState[] = ['active', 'orphaned', 'stale'];

/** Detaches leases that were closed while a view existed, when the last view is collected. */
const viewsOfClosed = new FinalizationRegistry<() => void>((detach) => detach());

/**
 * An attached shard: its memory, mapped read-only into this process. A write, also through a view, ends the process
 * with SIGSEGV.
 */
export class Lease implements AsyncDisposable {
  readonly #owner: LeaseOwner;
  readonly #attached: Attached;
  #info: NativeLease;
  #isClosed = false;
  #closing: Promise<void> | undefined;
  #view: WeakRef<ArrayBuffer> | undefined;

  /** `AttachClient.attach` makes leases. */
  constructor(owner: LeaseOwner, attached: Attached) {
    this.#owner = owner;
    this.#attached = attached;
    this.#info = attached.info;
  }

  /** Device address of the first byte. */
  get address(): bigint {
    return BigInt(this.#info.address);
  }

  /** Length of the shard, in bytes. */
  get bytes(): number {
    return toNumber(this.#info.vram_bytes);
  }

  /** Length of the mapping, which ends with padding, in bytes. */
  get mappedBytes(): number {
    return toNumber(this.#info.mapped_bytes);
  }

  /** CUDA ordinal of the device in this process. */
  get device(): number {
    return this.#info.device;
  }

  get leaseId(): string {
    return this.#info.lease_id;
  }

  /** The worker's name of the memory. It survives a restart of the worker. */
  get allocationId(): string {
    return this.#info.allocation_id;
  }

  /** The shard's handle, a compact JWS. It changes when the lease is resumed or the shard is sealed again. */
  get handle(): string {
    return this.#info.handle;
  }

  /** The lease's receipt, a compact JWS. It changes when the lease is resumed. */
  get receipt(): string {
    return this.#info.receipt;
  }

  /** As of the last event. */
  get state(): LeaseState {
    return this.#isClosed ? 'closed' : (states[this.#info.state] ?? 'stale');
  }

  /**
   * A path that opens the memory itself, read-only, in this process: for an engine that loads a model from a file. The
   * file is `mappedBytes` long. The engine must close and unmap it before the lease is closed, because the worker can
   * then reuse the memory.
   *
   * @throws AttachError with status NOT_A_FILE: only a shard of one part on a simulated device is a file
   */
  path(): string {
    this.#requireOpen();
    if (this.#attached.path instanceof AttachError) throw this.#attached.path;
    return this.#attached.path;
  }

  /**
   * The shard's bytes, in place. If the lease is closed while a view of it is reachable, it ends when the view is
   * collected. To end it at once, use `read`.
   *
   * @throws AttachError with status NOT_HOST_MEMORY: only the memory of a simulated device is the host's
   */
  view(offset = 0, bytes = this.bytes - offset): Uint8Array {
    this.#requireRange(offset, bytes);
    if (!this.#attached.isHostMemory) {
      throw new AttachError('NOT_HOST_MEMORY', { detail: 'the memory is on a GPU, and the CPU cannot read it' });
    }
    const existing = this.#view?.deref();
    const buffer = existing ?? this.#owner.library.koffi.view(this.address, this.bytes);
    if (existing === undefined) this.#view = new WeakRef(buffer);
    return new Uint8Array(buffer, offset, bytes);
  }

  /** A copy of some of the shard's bytes, also from a GPU. @throws AttachError */
  async read(offset: number, bytes: number): Promise<Uint8Array> {
    this.#requireRange(offset, bytes);
    return await this.#owner.read(this, offset, bytes);
  }

  /** The events of this lease and of its worker from now on, until the client is closed. */
  events(options: EventsOptions = {}): AttachEvents {
    return this.#owner.events(options, this);
  }

  /**
   * Unmaps the memory and ends the lease. Nothing may use the memory on the device afterwards.
   *
   * @throws AttachError with status DRIVER_ERROR: the memory is still mapped, and the call can be repeated
   */
  async close(): Promise<void> {
    this.#isClosed = true;
    const buffer = this.#view?.deref();
    if (buffer === undefined) return await this.#detach();
    this.#view = undefined;
    await this.#owner.defer();
    viewsOfClosed.register(buffer, () => void this.#detach().catch(() => undefined));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** For the client. */
  get pointer(): Address {
    return this.#attached.pointer;
  }

  /** For the client: takes what the C library says now. */
  update(info: NativeLease): void {
    this.#info = info;
  }

  #detach(): Promise<void> {
    this.#closing ??= this.#owner.detach(this).catch((error: unknown) => {
      this.#closing = undefined;
      throw error;
    });
    return this.#closing;
  }

  #requireOpen(): void {
    if (this.#isClosed) throw new AttachError('CLOSED', { detail: 'the lease is closed' });
  }

  #requireRange(offset: number, bytes: number): void {
    this.#requireOpen();
    const isInside = Number.isSafeInteger(offset) && Number.isSafeInteger(bytes) && offset >= 0 && bytes >= 0;
    if (!isInside || offset + bytes > this.bytes) throw new RangeError(`the shard has ${this.bytes} bytes`);
  }
}
