import { randomUUID } from 'node:crypto';
import { closeSync } from 'node:fs';
import { WorkerError } from '../errors.js';
import { Waiters } from '../runtime/waiters.js';
import { DescriptorLibrary } from '../vram/descriptor_library.js';
import { Poller, type Watch } from '../vram/poller.js';
import { KeeperConnection, unavailable } from './connection.js';

/** The time between attempts to connect, which doubles from the first to the last. */
const delaysMs = { first: 50, last: 2000 };

export interface LinkOptions {
  /** The keeper's socket. */
  readonly path: string;
  readonly token: string;
  /** The name under which memory is kept; undefined for a client that only drops. */
  readonly workerId?: string | undefined;
  /** libvram. */
  readonly libraryPath: string;
  readonly log: (level: 'info' | 'warn' | 'error', message: string, fields: Readonly<Record<string, unknown>>) => void;
}

export interface LinkEvents {
  /** A connection to a keeper that may hold what it held at the last one. */
  readonly onConnect: () => void;
  /** Another process has made the keeper drop memory. */
  readonly onDropped: (allocationId: string) => void;
  /** The connection ended. Its keeper may still hold memory. */
  readonly onEnd: () => void;
  /** The keeper's process has ended, so it no longer holds anything. */
  readonly onGone: () => void;
}

/** The keeper's process. */
interface Keeper {
  readonly keeperId: string;
  readonly pidfd: number | undefined;
  readonly watch: Watch | undefined;
}

/** A connection that is opened again when it ends, and what is known of the process at its other end. */
export class KeeperLink {
  readonly #options: LinkOptions;
  readonly #events: LinkEvents;
  readonly #requestMs: number;
  readonly #identity: Readonly<Record<string, string>>;
  readonly #library: DescriptorLibrary;
  readonly #poller = new Poller();
  readonly #waiting = new Waiters();
  #token: string;
  #connection: KeeperConnection | undefined;
  #keeper: Keeper | undefined;
  #error = unavailable('is not connected');
  #reportedError = '';
  #delayMs = delaysMs.first;
  /** Since when there is no connection, by `performance.now()`. */
  #awaySinceMs = performance.now();
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  /** Begins to connect. */
  constructor(options: LinkOptions, events: LinkEvents, requestMs: number) {
    this.#options = options;
    this.#events = events;
    this.#requestMs = requestMs;
    this.#token = options.token;
    this.#library = new DescriptorLibrary(options.libraryPath);
    const { workerId } = options;
    this.#identity = { boot_id: randomUUID(), ...(workerId === undefined ? {} : { worker_id: workerId }) };
    void this.#connect();
  }

  /** The open connection. */
  get connection(): KeeperConnection | undefined {
    return this.#connection;
  }

  /** Whether the keeper of a connection may still hold memory. */
  isKeeper({ keeperId }: KeeperConnection): boolean {
    return this.#keeper?.keeperId === keeperId;
  }

  /** Used from the next connection on. */
  replaceToken(token: string): void {
    this.#token = token;
  }

  /**
   * Until when an operation may wait that takes up to `waitMs`. A keeper that has been away for that long is not waited for
   * again: many operations may follow each other.
   */
  endOfWait(waitMs: number): number {
    const nowMs = performance.now();
    return this.#connection === undefined ? Math.max(nowMs, this.#awaySinceMs + waitMs) : nowMs + waitMs;
  }

  /** Resolves when the link has changed, or at a moment of `performance.now()`. */
  change(endMs: number): Promise<void> {
    return this.#waiting.wait(Math.max(0, endMs - performance.now()));
  }

  /** Waits for a connection. @throws WorkerError, such as KEEPER_UNAVAILABLE after the moment */
  async connected(endMs: number): Promise<KeeperConnection> {
    for (;;) {
      if (this.#connection !== undefined) return this.#connection;
      if (this.#isClosed || performance.now() >= endMs) throw this.#error;
      await this.change(endMs);
    }
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#connection?.close();
    this.#forgetKeeper();
    this.#poller.close();
    this.#waiting.wake();
  }

  /** Never rejects. */
  async #connect(): Promise<void> {
    try {
      const options = { ...this.#options, token: this.#token, identity: this.#identity, requestMs: this.#requestMs };
      const connection = await KeeperConnection.open({ ...options, library: this.#library, poller: this.#poller });
      this.#connected(connection);
    } catch (error) {
      if (this.#isClosed) return;
      this.#error = error instanceof WorkerError ? error : unavailable('cannot be reached', error);
      if (this.#reportedError !== this.#error.message) {
        this.#options.log('error', 'the keeper is not connected', { err: this.#error });
      }
      this.#reportedError = this.#error.message;
      this.#retry();
    }
  }

  #connected(connection: KeeperConnection): void {
    if (this.#isClosed) {
      if (connection.pidfd !== undefined) closeSync(connection.pidfd);
      return void connection.close();
    }
    this.#takeKeeper(connection);
    this.#connection = connection;
    this.#delayMs = delaysMs.first;
    this.#reportedError = '';
    connection.onEnd = () => this.#ended();
    connection.onDropped = this.#events.onDropped;
    this.#options.log('info', 'the keeper is connected', {});
    this.#events.onConnect();
    this.#waiting.wake();
  }

  #ended(): void {
    this.#connection = undefined;
    this.#awaySinceMs = performance.now();
    this.#error = unavailable('is not connected');
    if (!this.#isClosed) this.#options.log('warn', 'the connection to the keeper has ended', {});
    this.#events.onEnd();
    this.#waiting.wake();
    if (!this.#isClosed) this.#retry();
  }

  /** Another process at the path has its lock, so the previous one has ended. */
  #takeKeeper({ keeperId, pidfd }: KeeperConnection): void {
    if (this.#keeper?.keeperId === keeperId) {
      if (pidfd !== undefined) closeSync(pidfd);
      return;
    }
    if (this.#keeper !== undefined) this.#gone();
    const readable = { readable: true, writable: false };
    const watch = pidfd === undefined ? undefined : this.#poller.watch(pidfd, readable, () => this.#gone());
    this.#keeper = { keeperId, pidfd, watch };
  }

  #gone(): void {
    this.#forgetKeeper();
    this.#connection?.close();
    this.#events.onGone();
    this.#waiting.wake();
  }

  #forgetKeeper(): void {
    this.#keeper?.watch?.end();
    if (this.#keeper?.pidfd !== undefined) closeSync(this.#keeper.pidfd);
    this.#keeper = undefined;
  }

  #retry(): void {
    this.#timer = setTimeout(() => void this.#connect(), this.#delayMs).unref();
    this.#delayMs = Math.min(2 * this.#delayMs, delaysMs.last);
  }
}
