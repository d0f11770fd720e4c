import { WorkerError } from '../errors.js';
import type { DescriptorSocket } from '../vram/descriptor_socket.js';
import type { Poller, Readiness, Watch } from '../vram/poller.js';
import { Descriptors } from './descriptors.js';
import { encodeError, type Frame, FrameError } from './frame.js';
import { FrameReader } from './frame_reader.js';
import { Outbox } from './outbox.js';
import { requestId } from './requests.js';

/** How long a peer may take for its greeting, and for the rest of a frame. */
const frameMs = 5000;

/** Bytes that are read from a peer before others are served. */
const maxReadBytes = 64 * 1024;

/** Lines of a request. Each costs time to parse, and a frame has room for half a million. */
const maxLines = 1024;

/** What a session means. */
export interface SessionHandler {
  /** Returns the answer to the first frame. @throws an error that ends the session */
  greet(frame: Frame): Uint8Array;
  /** Processes a request and sends its answer. Owns the descriptors. @throws an error, which is sent to the peer */
  request(frame: Frame, id: number, descriptors: Descriptors): Promise<void> | void;
  /** Counts a request, whose frame has this length. Returns how long it must wait, in milliseconds. */
  waitMs(frameBytes: number): number;
  /** An error was sent. `frame` is the type of the request; undefined for an error that ends the session. */
  refused(error: WorkerError, frame: string | undefined): void;
  /** Called once. */
  closed(): void;
}

export interface SessionOptions {
  readonly poller: Poller;
  /** Descriptors that may come with one frame. */
  readonly maxDescriptors: number;
  readonly log: (message: string, error: unknown) => void;
}

/** `busy`: a request is being processed, and no other is read. `waiting`: the user has used up its rate. */
type SessionPhase = 'greeting' | 'ready' | 'busy' | 'waiting' | 'closed';

/** The server's end of one connection: a greeting, then requests one after the other. */
export class Session {
  readonly outbox: Outbox;
  readonly #socket: DescriptorSocket;
  readonly #handler: SessionHandler;
  readonly #options: SessionOptions;
  readonly #watch: Watch;
  readonly #reader = new FrameReader(maxLines);
  /** Those that came with bytes of the next frame. */
  #descriptors = new Descriptors([]);
  #frameTimer: NodeJS.Timeout | undefined;
  #phase: SessionPhase = 'greeting';
  /** The peer has closed the connection. The session ends when the requests that arrived before are done. */
  #isEnding = false;

  /** Owns the socket. */
  constructor(socket: DescriptorSocket, handler: SessionHandler, options: SessionOptions) {
    this.#socket = socket;
    this.#handler = handler;
    this.#options = options;
    this.outbox = new Outbox(
      socket,
      () => this.#updateInterest(),
      () => this.close(),
    );
    this.#watch = options.poller.watch(socket.descriptor, { readable: true, writable: false }, (readiness) =>
      this.#ready(readiness),
    );
    this.#limitFrame('The greeting did not arrive in time');
  }

  get isOpen(): boolean {
    return this.#phase !== 'closed';
  }

  get isGreeted(): boolean {
    return this.isOpen && this.#phase !== 'greeting';
  }

  close(): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    clearTimeout(this.#frameTimer);
    this.#descriptors.close();
    this.#watch.end();
    this.outbox.close();
    this.#socket.close();
    this.#handler.closed();
  }

  #ready({ readable, writable }: Readiness): void {
    if (writable) this.outbox.flush();
    if (readable) this.#read();
  }

  /** While a request is processed, the rest of the stream waits in the socket, its end included. */
  #updateInterest(): void {
    const readable = this.#phase === 'greeting' || this.#phase === 'ready';
    if (this.isOpen) this.#watch.set({ readable, writable: this.outbox.wantsRoom });
  }

  #read(): void {
    try {
      const received = this.#socket.receive(maxReadBytes, this.#options.maxDescriptors);
      if (received === undefined) return;
      this.#take(new Descriptors(received.descriptors), received.truncated);
      this.#reader.push(received.bytes);
    } catch (error) {
      if (error instanceof FrameError) this.#refuse(error);
      else this.#end();
      return;
    }
    this.#serve();
  }

  #end(): void {
    const waits = this.#phase === 'busy' || this.#phase === 'waiting';
    this.#isEnding = waits && this.#reader.hasPart;
    if (this.#isEnding) this.#watch.end();
    else this.close();
  }

  /** @throws FrameError, and closes the descriptors, if they cannot belong to one frame */
  #take(descriptors: Descriptors, isTruncated: boolean): void {
    const isExcess = this.#phase === 'greeting' || this.#options.maxDescriptors === 0 || this.#descriptors.count > 0;
    if (!isTruncated && (descriptors.count === 0 || !isExcess)) {
      if (descriptors.count > 0) this.#descriptors = descriptors;
      return;
    }
    descriptors.close();
    throw new FrameError(
      isTruncated && !isExcess ? 'Some descriptors did not arrive' : 'A client must not send descriptors here',
    );
  }

  /** Serves complete frames, until one has to wait. */
  #serve(): void {
    try {
      while (this.#phase === 'greeting' || this.#phase === 'ready') {
        const { frameBytes } = this.#reader;
        if (frameBytes === undefined) break;
        if (this.#phase === 'ready' && this.#waits(frameBytes)) return;
        const frame = this.#reader.next();
        if (frame === undefined) break;
        clearTimeout(this.#frameTimer);
        this.#frameTimer = undefined;
        if (this.#phase === 'greeting') this.#greet(frame);
        else this.#start(frame);
      }
      if (this.#phase === 'ready' && this.#isEnding) this.close();
      if (this.#phase === 'ready' && this.#reader.hasPart)
        this.#limitFrame('The rest of a frame did not arrive in time');
    } catch (error) {
      this.#refuse(error);
    } finally {
      this.#updateInterest();
    }
  }

  #limitFrame(message: string): void {
    const late = new WorkerError('UPLOAD_TIMEOUT', message);
    this.#frameTimer ??= setTimeout(() => this.#refuse(late), frameMs).unref();
  }

  #greet(frame: Frame): void {
    const welcome = this.#handler.greet(frame);
    this.#phase = 'ready';
    this.outbox.send(welcome);
  }

  /** @throws FrameError */
  #start(frame: Frame): void {
    const id = requestId(frame);
    const descriptors = this.#descriptors;
    this.#descriptors = new Descriptors([]);
    this.#phase = 'busy';
    void this.#carryOut(frame, id, descriptors).then(() => {
      // A peer may send many requests at once. All others get their turn between two of them.
      if (this.#reader.hasPart) setImmediate(() => this.#continue('busy'));
      else this.#continue('busy');
    });
  }

  /** Never rejects. */
  async #carryOut(frame: Frame, id: number, descriptors: Descriptors): Promise<void> {
    try {
      await this.#handler.request(frame, id, descriptors);
    } catch (error) {
      const known = this.#known(error, 'request failed');
      this.#handler.refused(known, frame.type);
      this.outbox.send(encodeError(id, known));
    } finally {
      descriptors.close();
    }
  }

  /** Whether the user has used up its requests of this second. Reading continues in the next one. */
  #waits(frameBytes: number): boolean {
    const waitMs = this.#handler.waitMs(frameBytes);
    if (waitMs === 0) return false;
    this.#phase = 'waiting';
    setTimeout(() => this.#continue('waiting'), waitMs).unref();
    return true;
  }

  #continue(from: SessionPhase): void {
    if (this.#phase !== from) return;
    this.#phase = 'ready';
    this.#serve();
  }

  /** Answers with an error that ends the session. */
  #refuse(error: unknown): void {
    if (!this.isOpen) return;
    const known = this.#known(error, 'session failed');
    this.#handler.refused(known, undefined);
    this.outbox.send(encodeError(undefined, known));
    this.close();
  }

  #known(error: unknown, message: string): WorkerError {
    const known =
      error instanceof WorkerError
        ? error
        : new WorkerError('INTERNAL', 'An internal error: see the log', { cause: error });
    if (known.code === 'INTERNAL') this.#options.log(message, error);
    return known;
  }
}
