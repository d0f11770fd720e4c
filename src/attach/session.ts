import { closeSync } from 'node:fs';
import { WorkerError } from '../errors.js';
import type { Residency } from '../residency/residency.js';
import type { LeaseEvent, LeaseHolder, LeasePeer } from '../residency/state/lease.js';
import type { DescriptorSocket } from '../vram/descriptor_socket.js';
import type { Poller, Readiness, Watch } from '../vram/poller.js';
import type { Access } from './access.js';
import { answers } from './answers.js';
import { type Frame, FrameError } from './frame.js';
import { FrameReader } from './frame_reader.js';
import { operations } from './operations.js';
import { Outbox } from './outbox.js';
import type { UserRate } from './rate.js';
import { readHello, requestId } from './requests.js';

/** How long a client may take for its greeting. */
const greetingMs = 5000;

/** Bytes that are read from a client before other clients are served. */
const maxReadBytes = 64 * 1024;

export interface SessionOptions {
  readonly residency: Residency;
  readonly poller: Poller;
  readonly access: Access;
  readonly requests: UserRate;
  readonly failures: UserRate;
  readonly log: (message: string, error: unknown) => void;
  /** Called once. */
  readonly onClose: (session: Session) => void;
}

/** `busy`: a request is being carried out, and no other is read. `waiting`: the user has used up its rate. */
type SessionPhase = 'greeting' | 'ready' | 'busy' | 'waiting' | 'closed';

/** One connection of a process that attaches shards. */
export class Session implements LeaseHolder {
  readonly peer: LeasePeer;
  readonly #options: SessionOptions;
  readonly #socket: DescriptorSocket;
  readonly #watch: Watch;
  readonly #reader = new FrameReader();
  readonly #outbox: Outbox;
  readonly #greetingTimer: NodeJS.Timeout;
  #phase: SessionPhase = 'greeting';

  /** Owns the socket, and one hold of the peer. */
  constructor(socket: DescriptorSocket, peer: LeasePeer, options: SessionOptions) {
    this.peer = peer;
    this.#socket = socket;
    this.#options = options;
    this.#outbox = new Outbox(
      socket,
      () => this.#updateInterest(),
      () => this.close(),
    );
    this.#watch = options.poller.watch(socket.descriptor, { readable: true, writable: false }, (readiness) =>
      this.#ready(readiness),
    );
    const late = new WorkerError('UPLOAD_TIMEOUT', 'The greeting did not arrive in time');
    this.#greetingTimer = setTimeout(() => this.#refuse(late), greetingMs).unref();
  }

  get isOpen(): boolean {
    return this.#phase !== 'closed';
  }

  notify(event: LeaseEvent): void {
    // A client that does not read its events must not lose its session over good news.
    if (event.event === 'verified' && !this.#outbox.isEmpty) return;
    this.#outbox.send(answers.event(event));
  }

  /** The worker will stop soon. */
  announceDraining(): void {
    if (this.#phase !== 'greeting') this.#outbox.send(answers.draining());
  }

  /** Lets the current turn end first, because the caller may visit the leases of this session. */
  disconnect(): void {
    setImmediate(() => this.close());
  }

  close(): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    clearTimeout(this.#greetingTimer);
    this.#watch.end();
    this.#outbox.close();
    this.#socket.close();
    this.#options.residency.leases.disconnected(this);
    this.peer.drop();
    this.#options.onClose(this);
  }

  #ready({ readable, writable }: Readiness): void {
    if (writable) this.#outbox.flush();
    if (readable) this.#read();
  }

  /** While a request is carried out, the rest of the stream waits in the socket, its end included. */
  #updateInterest(): void {
    const readable = this.#phase === 'greeting' || this.#phase === 'ready';
    if (this.isOpen) this.#watch.set({ readable, writable: this.#outbox.wantsRoom });
  }

  #read(): void {
    try {
      const received = this.#socket.receive(maxReadBytes, 1);
      if (received === undefined) return;
      for (const descriptor of received.descriptors) closeSync(descriptor);
      if (received.descriptors.length > 0 || received.truncated) {
        throw new FrameError('A client must not send descriptors');
      }
      this.#reader.push(received.bytes);
    } catch (error) {
      if (error instanceof FrameError) this.#refuse(error);
      else this.close();
      return;
    }
    this.#serve();
  }

  /** Serves complete frames, until one has to wait. */
  #serve(): void {
    try {
      while (this.#phase === 'greeting' || this.#phase === 'ready') {
        if (this.#phase === 'ready' && this.#waits()) return;
        const frame = this.#reader.next();
        if (frame === undefined) return;
        if (this.#phase === 'greeting') this.#greet(frame);
        else this.#start(frame);
      }
    } catch (error) {
      this.#refuse(error);
    } finally {
      this.#updateInterest();
    }
  }

  #greet(frame: Frame): void {
    const { residency, access, failures } = this.#options;
    const { token } = readHello(frame);
    try {
      access.requireToken(token);
    } catch (error) {
      if (failures.take(this.peer.uid) === 0) throw error;
      throw new WorkerError('RATE_LIMITED', 'Too many invalid tokens', { retryAfterMs: 1000 });
    }
    const { identity, driver, simulated } = residency;
    const welcome = answers.welcome({ identity, driver, simulated, devices: residency.devices() });
    clearTimeout(this.#greetingTimer);
    this.#phase = 'ready';
    this.#outbox.send(welcome);
  }

  /** @throws FrameError */
  #start(frame: Frame): void {
    const id = requestId(frame);
    this.#phase = 'busy';
    void this.#carryOut(frame, id).then(() => {
      if (this.#phase !== 'busy') return;
      this.#phase = 'ready';
      this.#serve();
    });
  }

  /** Never rejects. */
  async #carryOut(frame: Frame, id: number): Promise<void> {
    const { residency, log } = this.#options;
    const operation = operations.get(frame.type);
    try {
      if (operation === undefined) throw new WorkerError('INVALID_PARAMS', 'The type of the request is unknown');
      await operation({ residency, holder: this, outbox: this.#outbox }, frame, id);
    } catch (error) {
      const known = toWorkerError(error);
      if (known.code === 'INTERNAL') log('attach request failed', error);
      this.#report(known, frame.type);
      this.#outbox.send(answers.error(id, known));
    }
  }

  /** Whether the user has used up its requests of this second. Reading continues in the next one. */
  #waits(): boolean {
    const waitMs = this.#options.requests.take(this.peer.uid);
    if (waitMs === 0) return false;
    this.#phase = 'waiting';
    setTimeout(() => {
      if (this.#phase !== 'waiting') return;
      this.#phase = 'ready';
      this.#serve();
    }, waitMs).unref();
    return true;
  }

  /** Answers with an error that ends the session. */
  #refuse(error: unknown): void {
    if (!this.isOpen) return;
    const known = toWorkerError(error);
    if (known.code === 'INTERNAL') this.#options.log('attach session failed', error);
    this.#report(known, 'session');
    this.#outbox.send(answers.error(undefined, known));
    this.close();
  }

  #report({ code }: WorkerError, request: string): void {
    if (request !== 'attach' && request !== 'session') return;
    const { uid, gid, pid } = this.peer;
    this.#options.residency.leases.refused(code, { peer: { uid, gid, pid } });
  }
}

function toWorkerError(error: unknown): WorkerError {
  if (error instanceof WorkerError) return error;
  return new WorkerError('INTERNAL', 'The worker failed: see its log', { cause: error });
}
