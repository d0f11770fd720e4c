import { closeSync } from 'node:fs';
import { errorCodes, WorkerError } from '../errors.js';
import { Descriptors } from '../ipc/descriptors.js';
import { encodeFrame, type Frame } from '../ipc/frame.js';
import { FrameReader } from '../ipc/frame_reader.js';
import { Outbox, type Transfer } from '../ipc/outbox.js';
import { Sequence } from '../runtime/sequence.js';
import type { DescriptorLibrary } from '../vram/descriptor_library.js';
import { DescriptorSocket } from '../vram/descriptor_socket.js';
import { peerCredentials, peerPidfd } from '../vram/peer_process.js';
import type { Poller, Watch } from '../vram/poller.js';
import { connectTo, SocketError } from '../vram/unix_socket.js';
import { maxParts } from './messages.js';

const maxReadBytes = 64 * 1024;

export interface ConnectionOptions {
  readonly path: string;
  readonly token: string;
  /** The further keys of `hello`. */
  readonly identity: Readonly<Record<string, string>>;
  readonly library: DescriptorLibrary;
  readonly poller: Poller;
  /** The deadline of each request. */
  readonly requestMs: number;
}

/** An answer and the descriptors that came with it, which are closed unless they are taken. */
export interface Answer {
  readonly frame: Frame;
  readonly descriptors: Descriptors;
}

interface Pending {
  readonly id: number | undefined;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: WorkerError) => void;
}

/** A connection to the keeper. One request is processed at a time. Any fault of the keeper ends the connection. */
export class KeeperConnection {
  /** Identifies the keeper's process. */
  keeperId = '';
  /** The keeper's process; undefined if the kernel cannot say. The caller must close it. */
  readonly pidfd: number | undefined;
  readonly #socket: DescriptorSocket;
  readonly #watch: Watch;
  readonly #outbox: Outbox;
  readonly #requestMs: number;
  readonly #reader = new FrameReader();
  #descriptors = new Descriptors([]);
  #pending: Pending | undefined;
  readonly #requests = new Sequence();
  #nextId = 1;
  #isClosed = false;
  /** The keeper has dropped memory because another process asked for it. */
  onDropped: (allocationId: string) => void = () => undefined;
  /** Called once when the connection has ended. */
  onEnd: () => void = () => undefined;

  private constructor({ path, library, poller, requestMs }: ConnectionOptions) {
    const descriptor = connectTo(path);
    try {
      const { uid, pid } = peerCredentials(descriptor);
      if (uid !== process.geteuid?.()) throw unavailable('belongs to another user');
      this.pidfd = peerPidfd(descriptor, pid);
      this.#socket = socketOf(library, descriptor, this.pidfd);
    } finally {
      closeSync(descriptor);
    }
    this.#requestMs = requestMs;
    this.#outbox = new Outbox(
      this.#socket,
      () => this.#updateInterest(),
      () => this.close(),
    );
    this.#watch = poller.watch(
      this.#socket.descriptor,
      { readable: true, writable: false },
      ({ readable, writable }) => {
        if (writable) this.#outbox.flush();
        if (readable) this.#read();
      },
    );
  }

  /** Connects and greets. @throws WorkerError KEEPER_UNAVAILABLE, AUTH_FAILED, or what the keeper refuses with */
  static async open(options: ConnectionOptions): Promise<KeeperConnection> {
    const connection = KeeperConnection.#connect(options);
    const { token, identity } = options;
    const hello = encodeFrame('hello', { version: 1, client: 'vram-worker', token, ...identity });
    try {
      const { frame } = await connection.#ask(undefined, () => connection.#outbox.send(hello));
      const keeperId = frame.fields.find(([key]) => key === 'keeper_id')?.[1];
      if (frame.type !== 'welcome' || keeperId === undefined) throw unavailable('did not answer the greeting');
      connection.keeperId = keeperId;
      return connection;
    } catch (error) {
      connection.close();
      if (connection.pidfd !== undefined) closeSync(connection.pidfd);
      throw error;
    }
  }

  static #connect(options: ConnectionOptions): KeeperConnection {
    try {
      return new KeeperConnection(options);
    } catch (error) {
      if (error instanceof WorkerError && error.code === 'KEEPER_UNAVAILABLE') throw error;
      throw unavailable(
        error instanceof SocketError ? `cannot be reached (${error.code})` : 'cannot be reached',
        error,
      );
    }
  }

  get isOpen(): boolean {
    return !this.#isClosed;
  }

  /** Sends a request. @throws WorkerError the keeper's error, or KEEPER_UNAVAILABLE */
  request(encode: (id: number) => Uint8Array): Promise<Answer> {
    return this.#requests.run(() => {
      const id = this.#nextId++;
      return this.#ask(id, () => this.#outbox.send(encode(id)));
    });
  }

  /** Sends a request with memory, by `transfer`. See `Outbox.handOver`. */
  handOver(transfer: (socket: DescriptorSocket, id: number) => Promise<Transfer>): Promise<Answer> {
    return this.#requests.run(() => {
      const id = this.#nextId++;
      return this.#ask(id, () => this.#outbox.handOver((socket) => transfer(socket, id)));
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#watch.end();
    this.#outbox.close();
    this.#descriptors.close();
    this.#socket.close();
    this.#fail(unavailable('closed the connection'));
    this.onEnd();
  }

  /** Without an id the answer is that to the greeting. */
  async #ask(id: number | undefined, send: () => void | Promise<void>): Promise<Answer> {
    if (this.#isClosed) throw unavailable('closed the connection');
    let timer: NodeJS.Timeout | undefined;
    const answer = new Promise<Answer>((resolve, reject) => {
      this.#pending = { id, resolve, reject };
      timer = setTimeout(() => {
        this.#fail(unavailable('did not answer in time'));
        this.close();
      }, this.#requestMs).unref();
    });
    try {
      // A failed transfer is the caller's error, and sends nothing. No answer will come.
      return await Promise.race([answer, Promise.resolve(send()).then(() => answer)]);
    } finally {
      clearTimeout(timer);
      this.#pending = undefined;
    }
  }

  #fail(error: WorkerError): void {
    this.#pending?.reject(error);
    this.#pending = undefined;
  }

  #updateInterest(): void {
    if (!this.#isClosed) this.#watch.set({ readable: true, writable: this.#outbox.wantsRoom });
  }

  #read(): void {
    try {
      const received = this.#socket.receive(maxReadBytes, maxParts);
      if (received === undefined) return;
      const descriptors = new Descriptors(received.descriptors);
      if (received.truncated || (descriptors.count > 0 && this.#descriptors.count > 0)) {
        descriptors.close();
        throw unavailable('sent descriptors that did not all arrive');
      }
      if (descriptors.count > 0) this.#descriptors = descriptors;
      this.#reader.push(received.bytes);
      for (let frame = this.#reader.next(); frame !== undefined; frame = this.#reader.next()) this.#take(frame);
    } catch (error) {
      this.#fail(unavailable('closed the connection', error));
      this.close();
    }
  }

  /** @throws WorkerError if no request waits for the frame */
  #take(frame: Frame): void {
    const pending = this.#pending;
    if (frame.type === 'event') return void this.#notice(frame);
    const id = frame.fields.find(([key]) => key === 'id')?.[1];
    const isAnswer = pending !== undefined && id === pending.id?.toString();
    if (frame.type === 'error' && (isAnswer || id === undefined)) return void this.#fail(errorOf(frame));
    if (!isAnswer) throw unavailable('sent an answer to no request');
    this.#pending = undefined;
    pending.resolve({ frame, descriptors: this.#descriptors });
    this.#descriptors = new Descriptors([]);
  }

  /** Unknown events are ignored. */
  #notice({ fields }: Frame): void {
    const value = (key: string) => fields.find(([name]) => name === key)?.[1];
    const allocationId = value('allocation_id');
    if (value('event') === 'dropped' && allocationId !== undefined) this.onDropped(allocationId);
  }
}

/** Closes the pidfd if it throws. @throws VramError if no descriptor is free */
function socketOf(library: DescriptorLibrary, descriptor: number, pidfd: number | undefined): DescriptorSocket {
  try {
    return new DescriptorSocket(library, descriptor);
  } catch (error) {
    if (pidfd !== undefined) closeSync(pidfd);
    throw error;
  }
}

/** An unknown code is INTERNAL. */
function errorOf({ fields }: Frame): WorkerError {
  const value = (key: string) => fields.find(([name]) => name === key)?.[1];
  const code = errorCodes.find((known) => known === value('code')) ?? 'INTERNAL';
  return new WorkerError(code, `The keeper refused: ${value('detail')}`);
}

/** KEEPER_UNAVAILABLE with a problem as a predicate, such as `does not respond`. */
export const unavailable = (problem: string, cause?: unknown): WorkerError =>
  new WorkerError('KEEPER_UNAVAILABLE', `The keeper ${problem}`, { cause });
