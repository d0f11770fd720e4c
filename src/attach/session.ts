import { WorkerError } from '../errors.js';
import type { Frame } from '../ipc/frame.js';
import type { UserRate } from '../ipc/rate.js';
import { readHello } from '../ipc/requests.js';
import { Session, type SessionHandler } from '../ipc/session.js';
import type { UnreadDescriptors } from '../ipc/unread_descriptors.js';
import type { Residency } from '../residency/residency.js';
import type { LeaseEvent, LeaseHolder, LeasePeer } from '../residency/state/lease.js';
import type { DescriptorSocket } from '../vram/descriptor_socket.js';
import type { Poller } from '../vram/poller.js';
import type { Access } from './access.js';
import { answers } from './answers.js';
import { operations } from './operations.js';

/** A longer frame counts as several requests, because it takes longer to parse. */
const bytesPerRequest = 8192;

export interface AttachSessionOptions {
  readonly residency: Residency;
  readonly poller: Poller;
  readonly access: Access;
  readonly requests: UserRate;
  readonly failures: UserRate;
  readonly unread: UnreadDescriptors;
  readonly log: (message: string, error: unknown) => void;
  /** Called once. */
  readonly onClose: (session: AttachSession) => void;
}

/** One connection of a process that attaches shards. */
export class AttachSession implements LeaseHolder, SessionHandler {
  readonly peer: LeasePeer;
  readonly #options: AttachSessionOptions;
  readonly #session: Session;

  /** Owns the socket, and one hold of the peer. */
  constructor(socket: DescriptorSocket, peer: LeasePeer, options: AttachSessionOptions) {
    this.peer = peer;
    this.#options = options;
    const { poller } = options;
    const log = (message: string, error: unknown) => options.log(`attach: ${message}`, error);
    this.#session = new Session(socket, this, { poller, log, maxDescriptors: 0 });
  }

  get isOpen(): boolean {
    return this.#session.isOpen;
  }

  notify(event: LeaseEvent): void {
    const { outbox } = this.#session;
    // A client that does not read its events must not lose its session over good news.
    if (event.event === 'verified' && !outbox.isEmpty) return;
    outbox.send(answers.event(event));
  }

  /** The worker will stop soon. */
  announceDraining(): void {
    if (this.#session.isGreeted) this.#session.outbox.send(answers.draining());
  }

  /** Lets the current turn end first, because the caller may visit the leases of this session. */
  disconnect(): void {
    setImmediate(() => this.close());
  }

  close(): void {
    this.#session.close();
  }

  greet(frame: Frame): Uint8Array {
    const { residency, access, failures } = this.#options;
    const { token } = readHello(frame, {});
    try {
      access.requireToken(token);
    } catch (error) {
      if (failures.take(this.peer.uid) === 0) throw error;
      throw new WorkerError('RATE_LIMITED', 'Too many invalid tokens', { retryAfterMs: 1000 });
    }
    const { identity, driver, simulated } = residency;
    return answers.welcome({ identity, driver, simulated, devices: residency.devices() });
  }

  async request(frame: Frame, id: number): Promise<void> {
    const operation = operations.get(frame.type);
    if (operation === undefined) throw new WorkerError('INVALID_PARAMS', 'The type of the request is unknown');
    const { residency, unread } = this.#options;
    await operation({ residency, holder: this, outbox: this.#session.outbox, unread }, frame, id);
  }

  waitMs(frameBytes: number): number {
    return this.#options.requests.take(this.peer.uid, Math.ceil(frameBytes / bytesPerRequest));
  }

  refused({ code }: WorkerError, frame: string | undefined): void {
    if (frame !== 'attach' && frame !== undefined) return;
    const { uid, gid, pid } = this.peer;
    this.#options.residency.leases.refused(code, { peer: { uid, gid, pid } });
  }

  closed(): void {
    this.#options.residency.leases.disconnected(this);
    this.peer.drop();
    this.#options.onClose(this);
  }
}
