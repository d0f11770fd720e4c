import { EventEmitter } from 'node:events';
import { AttachError, statusOf } from './attach_error.js';
import { typeOf } from './attach_event_type.js';
import { type AttachRequest, type ConnectOptions, nativeOptions, nativeRequest } from './attach_options.js';
import { EventStream, type EventsOptions } from './event_stream.js';
import { type AttachEvent, type AttachEvents, Lease } from './lease.js';
import { defaultLibrary, Library, toNumber } from './library.js';
import type { Address, NativeEvent, NativeLease, NativeWorker } from './native_types.js';
import { Poller } from './poller.js';

/** The worker at the other end. */
export interface AttachedWorker {
  readonly workerId: string;
  readonly bootId: string;
  readonly driver: string;
  readonly simulated: boolean;
}

/**
 * A connection to a worker, and its leases. It emits `event` for each AttachEvent. If the worker dies, the memory stays
 * readable; the client reconnects and resumes its leases, and events say so. An open client keeps the process alive.
 */
export class AttachClient extends EventEmitter<{ event: [AttachEvent]; close: [] }> implements AsyncDisposable {
  readonly library: Library;
  readonly #pointer: Address;
  readonly #poller: Poller;
  readonly #descriptor: number;
  readonly #leases = new Map<Address, Lease>();
  #worker: AttachedWorker;
  /** The end of the last call. The C library runs calls of one client one after another. */
  #lastCall: Promise<unknown> = Promise.resolve();
  #isClosed = false;
  #isFreed = false;
  #closesWithLease = false;

  private constructor(library: Library, pointer: Address, worker: AttachedWorker) {
    super();
    // Each stream of events is a listener.
    this.setMaxListeners(0);
    this.library = library;
    this.#pointer = pointer;
    this.#worker = worker;
    this.#poller = Poller.shared(library.koffi);
    this.#descriptor = Number(library.callNow('vram_attach_event_descriptor', pointer));
    this.#watch();
  }

  /** @throws AttachError */
  static async connect(options: ConnectOptions = {}): Promise<AttachClient> {
    const library = await Library.load(options.libraryPath ?? defaultLibrary);
    const pointer: [Address | null] = [null];
    await library.checked('vram_attach_connect', nativeOptions(options), pointer);
    if (pointer[0] === null) throw new TypeError('the library returned no client');
    return new AttachClient(library, pointer[0], await workerOf(library, pointer[0]));
  }

  /** The worker, as of the last connection. */
  get worker(): AttachedWorker {
    return this.#worker;
  }

  /** Attaches a shard and maps it. If the connection is down, it reconnects first. @throws AttachError */
  async attach(request: AttachRequest): Promise<Lease> {
    if (this.#isClosed) throw new AttachError('CLOSED', { detail: 'the client is closed' });
    return await this.#next(async () => {
      const out: [Address | null] = [null];
      await this.library.checked('vram_attach_shard', this.#pointer, nativeRequest(request), out);
      const [pointer] = out;
      if (pointer === null) throw new TypeError('the library returned no lease');
      const path = await this.#pathOf(pointer);
      const isHostMemory = this.#worker.driver === 'simulated' || typeof path === 'string';
      const lease = new Lease(this, { pointer, info: await this.#infoOf(pointer), path, isHostMemory });
      this.#leases.set(pointer, lease);
      return lease;
    });
  }

  /** The same, for a client that is closed with the lease. @throws AttachError */
  attachOnly(request: AttachRequest): Promise<Lease> {
    this.#closesWithLease = true;
    return this.attach(request);
  }

  /** For Lease.read(). @throws AttachError */
  async read(lease: Lease, offset: number, bytes: number): Promise<Uint8Array> {
    return await this.#next(async () => {
      if (this.#leases.get(lease.pointer) !== lease) throw new AttachError('CLOSED', { detail: 'the lease is closed' });
      // This reference keeps the buffer during the call: koffi does not.
      const buffer = new Uint8Array(bytes);
      await this.library.checked('vram_attach_read', lease.pointer, offset, buffer, bytes);
      return buffer;
    });
  }

  /** For Lease.close(): a view keeps the lease. */
  async defer(): Promise<void> {
    if (this.#closesWithLease) await this.#stop();
  }

  /** For Lease.close(). @throws AttachError with status DRIVER_ERROR */
  async detach(lease: Lease): Promise<void> {
    await this.#next(async () => {
      if (this.#leases.get(lease.pointer) !== lease) return;
      await this.library.checked('vram_attach_detach', lease.pointer);
      this.#leases.delete(lease.pointer);
    });
    if (this.#closesWithLease) await this.#stop();
    if (this.#isClosed) await this.#closeIfUnused();
  }

  /** The events from now on, until the client is closed. `lease` restricts them to those of one lease and of the worker. */
  events(options: EventsOptions = {}, lease?: Lease): AttachEvents {
    const stream = new EventStream<AttachEvent>(this, options, (event) => {
      return lease === undefined || event.lease === undefined || event.lease === lease;
    });
    if (this.#isClosed) void stream.return();
    return stream;
  }

  /**
   * Closes all leases and disconnects. A lease with a reachable view keeps the connection until the view is collected.
   *
   * @throws AttachError with status DRIVER_ERROR: a lease is still mapped, and the call can be repeated
   */
  async close(): Promise<void> {
    await this.#stop();
    await this.#lastCall;
    await Promise.all([...this.#leases.values()].map((lease) => lease.close()));
    await this.#closeIfUnused();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #stop(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#poller.end(this.#descriptor);
    this.emit('close');
  }

  async #closeIfUnused(): Promise<void> {
    await this.#next(async () => {
      if (this.#leases.size > 0 || this.#isFreed) return;
      this.#isFreed = true;
      await this.library.call('vram_attach_close', this.#pointer);
    });
  }

  /** Runs calls of the C library after all that were given before. */
  #next<T>(calls: () => Promise<T>): Promise<T> {
    const result = this.#lastCall.then(calls);
    this.#lastCall = result.catch(() => undefined);
    return result;
  }

  #watch(): void {
    this.#poller.once(this.#descriptor, () => {
      // Events are taken between other calls, so the next wait begins after them.
      void this.#next(() => this.#takeEvents()).finally(() => {
        if (!this.#isClosed) this.#watch();
      });
    });
  }

  async #takeEvents(): Promise<void> {
    while (!this.#isClosed) {
      const event: Partial<NativeEvent> = {};
      const status = await this.library.call('vram_attach_next_event', this.#pointer, event);
      if (status !== 0) return;
      const type = typeOf(event.type ?? 0);
      const lease = event.lease == null ? undefined : this.#leases.get(event.lease);
      if (lease !== undefined) lease.update(await this.#infoOf(lease.pointer));
      if (type === 'resumed') this.#worker = await workerOf(this.library, this.#pointer);
      const deadlineMs = toNumber(event.deadline_ms ?? 0);
      if (type !== undefined) this.emit('event', { type, lease, shardId: event.shard_id ?? '', deadlineMs });
    }
  }

  async #infoOf(lease: Address): Promise<NativeLease> {
    const info: Partial<NativeLease> = {};
    requireOk(await this.library.call('vram_attach_get_lease', lease, info), 'vram_attach_get_lease');
    return info as NativeLease;
  }

  async #pathOf(lease: Address): Promise<string | AttachError> {
    const path: [string | null] = [null];
    try {
      await this.library.checked('vram_attach_get_path', lease, path);
      return path[0] ?? '';
    } catch (error) {
      if (error instanceof AttachError) return error;
      throw error;
    }
  }
}

async function workerOf(library: Library, client: Address): Promise<AttachedWorker> {
  const worker: Partial<NativeWorker> = {};
  requireOk(await library.call('vram_attach_get_worker', client, worker), 'vram_attach_get_worker');
  const { worker_id: workerId = '', boot_id: bootId = '', driver = '', simulated = 0 } = worker;
  return { workerId, bootId, driver, simulated: simulated !== 0 };
}

function requireOk(status: number, name: string): void {
  if (status !== 0) throw new AttachError(statusOf(status), { detail: name });
}
