import { WorkerError } from '../errors.js';
import type { Descriptors } from '../ipc/descriptors.js';
import { encodeFrame, type Frame } from '../ipc/frame.js';
import type { UserRate } from '../ipc/rate.js';
import { readHello } from '../ipc/requests.js';
import { Session, type SessionHandler } from '../ipc/session.js';
import type { TokenCheck } from '../ipc/token.js';
import type { DescriptorSocket } from '../vram/descriptor_socket.js';
import { isSocket } from '../vram/peer_process.js';
import type { Poller } from '../vram/poller.js';
import {
  encodeMemory,
  encodePage,
  helloKeys,
  maxParts,
  readAllocationId,
  readCursor,
  readDrop,
  readMemory,
} from './messages.js';
import type { Claimant, DescriptorStore } from './store.js';

export interface KeeperSessionOptions {
  readonly keeperId: string;
  readonly store: DescriptorStore;
  readonly token: TokenCheck;
  readonly poller: Poller;
  readonly failures: UserRate;
  readonly log: (level: 'info' | 'warn' | 'error', message: string, fields: Readonly<Record<string, unknown>>) => void;
  /** A process has sent its greeting. */
  readonly onGreeting: (session: KeeperSession) => void;
  /** Called once. */
  readonly onClose: (session: KeeperSession) => void;
}

/** One connection to the keeper: of a worker, or of a process that only lists and drops. */
export class KeeperSession implements SessionHandler, Claimant {
  workerId: string | undefined;
  /** Identifies the process at the other end, over all its connections. */
  bootId: string | undefined;
  readonly #options: KeeperSessionOptions;
  readonly #session: Session;

  /** Owns the socket. */
  constructor(socket: DescriptorSocket, options: KeeperSessionOptions) {
    this.#options = options;
    const { poller } = options;
    const log = (message: string, error: unknown) => options.log('error', message, { err: error });
    this.#session = new Session(socket, this, { poller, log, maxDescriptors: maxParts });
  }

  close(): void {
    this.#session.close();
  }

  dropped(allocationId: string): void {
    this.#session.outbox.send(encodeFrame('event', { event: 'dropped', allocation_id: allocationId }));
  }

  greet(frame: Frame): Uint8Array {
    const { token, failures, keeperId } = this.#options;
    const { token: sent, worker_id: workerId, boot_id: bootId } = readHello(frame, helloKeys);
    try {
      token.require(sent);
    } catch (error) {
      if (failures.take(0) === 0) throw error;
      throw new WorkerError('RATE_LIMITED', 'Too many invalid tokens', { retryAfterMs: 1000 });
    }
    this.workerId = workerId;
    this.bootId = bootId;
    this.#options.onGreeting(this);
    return encodeFrame('welcome', { version: 1, keeper_id: keeperId });
  }

  async request(frame: Frame, id: number, descriptors: Descriptors): Promise<void> {
    if (frame.type !== 'put' && descriptors.count > 0) {
      throw new WorkerError('INVALID_PARAMS', 'Only put may have descriptors');
    }
    switch (frame.type) {
      case 'put':
        return this.#put(frame, id, descriptors);
      case 'get':
        return this.#get(readAllocationId(frame), id);
      case 'claim':
        this.#options.store.claim(this, readAllocationId(frame));
        return this.#answer('claimed', id);
      case 'list':
        return this.#session.outbox.send(encodePage(id, this.#options.store.page(readCursor(frame))));
      case 'drop':
        return this.#drop(readDrop(frame), id);
      default:
        throw new WorkerError('INVALID_PARAMS', 'The type of the request is unknown');
    }
  }

  /** The kernel limits what waits, and the processes are those of one user. */
  waitMs(): number {
    return 0;
  }

  refused({ code, message }: WorkerError, frame: string | undefined): void {
    if (code === 'NOT_FOUND') return;
    const { workerId: worker_id } = this;
    this.#options.log('warn', 'request refused', { code, detail: message, request: frame ?? 'session', worker_id });
  }

  closed(): void {
    this.#options.store.unclaim(this);
    this.#options.onClose(this);
  }

  #put(frame: Frame, id: number, descriptors: Descriptors): void {
    // A socket of a connection to the keeper would keep that connection open.
    if (descriptors.numbers.some(isSocket)) throw new WorkerError('INVALID_PARAMS', 'A descriptor is a socket');
    this.#options.store.put(this, readMemory(frame), descriptors);
    this.#answer('kept', id);
  }

  async #get(allocationId: string, id: number): Promise<void> {
    const { store } = this.#options;
    await this.#session.outbox.handOver(async (socket) => {
      // Another process may have dropped it since the last attempt.
      const { memory, descriptors } = store.claim(this, allocationId);
      const frame = encodeMemory('held', id, memory);
      return { frame, sentBytes: socket.send(frame, descriptors) };
    });
  }

  #drop(allocationId: string | undefined, id: number): void {
    const count = this.#options.store.drop(this, allocationId);
    if (count > 0 && this.workerId === undefined) this.#options.log('warn', 'memory dropped by an operator', { count });
    this.#session.outbox.send(encodeFrame('dropped', { id, count }));
  }

  #answer(type: string, id: number): void {
    this.#session.outbox.send(encodeFrame(type, { id }));
  }
}
