import { WorkerError } from '../errors.js';
import { maxOpenFiles } from '../runtime/open_files.js';
import { Sequence } from '../runtime/sequence.js';
import type { DescriptorSocket } from '../vram/descriptor_socket.js';
import type { Transfer } from './outbox.js';

/** The most descriptors of one message: a shard has fewer parts. */
export const messageDescriptors = 64;

/** How often sockets that were closed with unread descriptors are looked at. */
const sweepMs = 1000;

/** The process that is to receive descriptors: the same object for all its connections. */
export interface Recipient {
  readonly uid: number;
}

interface Entry {
  readonly recipient: Recipient;
  readonly count: number;
  readonly socket: DescriptorSocket;
  readonly release: () => void;
  isSent: boolean;
}

/** The limits of unread descriptors: of all processes, of one user's, and of one process. */
export interface UnreadLimits {
  readonly all: number;
  readonly user: number;
  readonly process: number;
}

/**
 * The kernel counts the descriptors in unread messages of all processes of a user, and refuses to send more than the sender
 * may have open files: unix(7), ETOOMANYREFS. A process that does not read must not use up that number, neither on an open
 * connection nor on one that the worker has closed.
 */
export class UnreadDescriptors {
  readonly #limits: UnreadLimits;
  readonly #entries = new Set<Entry>();
  /** The descriptors of a message are also open in this process while it is sent: one message at a time. */
  readonly #sends = new Sequence();
  #timer: NodeJS.Timeout | undefined;

  constructor(limits: UnreadLimits = unreadLimitsOf(maxOpenFiles())) {
    this.#limits = limits;
  }

  /** The descriptors that are being sent, or were not read when last looked at. */
  get count(): number {
    return sum([...this.#entries]);
  }

  /** The recipients of connections that have closed, and stay open until their memory is read: one for each connection. */
  get ofClosedConnections(): Recipient[] {
    const closed = [...this.#entries].filter(({ socket }) => socket.isClosed);
    return [...new Map(closed.map(({ socket, recipient }) => [socket, recipient])).values()];
  }

  /** Sends `count` descriptors by `transfer`. @throws WorkerError RATE_LIMITED if too many are unread, and its errors */
  async send(
    recipient: Recipient,
    count: number,
    socket: DescriptorSocket,
    transfer: () => Promise<Transfer>,
  ): Promise<Transfer> {
    if (!this.#hasRoom(recipient, count)) this.sweep();
    if (!this.#hasRoom(recipient, count)) throw tooMany();
    const entry = { recipient, count, socket, release: socket.hold(), isSent: false };
    this.#entries.add(entry);
    try {
      const sent = await this.#sends.run(transfer);
      entry.isSent = sent.sentBytes > 0;
      return sent;
    } finally {
      if (!entry.isSent) this.#remove(entry);
      this.#schedule();
    }
  }

  /** Closes all sockets that only this object keeps open. */
  close(): void {
    clearTimeout(this.#timer);
    for (const entry of this.#entries) this.#remove(entry);
  }

  #hasRoom(recipient: Recipient, count: number): boolean {
    const entries = [...this.#entries];
    const ofUser = entries.filter((entry) => entry.recipient.uid === recipient.uid);
    const ofProcess = ofUser.filter((entry) => entry.recipient === recipient);
    const { all, user, process } = this.#limits;
    return sum(entries) + count <= all && sum(ofUser) + count <= user && sum(ofProcess) + count <= process;
  }

  /** Forgets what was read. Call it after a socket was closed, which stays open until then. */
  sweep(): void {
    for (const entry of this.#entries) if (entry.isSent && entry.socket.unreadBytes === 0) this.#remove(entry);
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#entries.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.sweep();
      this.#schedule();
    }, sweepMs).unref();
  }

  #remove(entry: Entry): void {
    this.#entries.delete(entry);
    entry.release();
  }
}

/** Other programs of the user need a part of the limit too. One message always fits. */
export function unreadLimitsOf(openFiles: number): UnreadLimits {
  const all = Math.max(4 * messageDescriptors, Math.min(4096, Math.floor(openFiles / 4)));
  return { all, user: all / 2, process: Math.max(messageDescriptors, Math.floor(all / 8)) };
}

const sum = (entries: readonly Entry[]): number => entries.reduce((total, { count }) => total + count, 0);

const tooMany = (): WorkerError =>
  new WorkerError('RATE_LIMITED', 'Too many processes have not read the memory that they were sent', {
    retryAfterMs: sweepMs,
  });
