import { randomUUID } from 'node:crypto';
import { WorkerError } from '../errors.js';
import { Acceptor } from '../ipc/acceptor.js';
import { encodeError } from '../ipc/frame.js';
import { UserRate } from '../ipc/rate.js';
import { RefusedConnections } from '../ipc/refused_connections.js';
import { SocketFile } from '../ipc/socket_file.js';
import { TokenCheck } from '../ipc/token.js';
import { DescriptorLibrary } from '../vram/descriptor_library.js';
import { DescriptorSocket } from '../vram/descriptor_socket.js';
import { peerCredentials } from '../vram/peer_process.js';
import { Poller } from '../vram/poller.js';
import { KeeperSession, type KeeperSessionOptions } from './keeper_session.js';
import { DescriptorStore, type StoreLimits } from './store.js';

const maxSessions = 32;
const invalidTokensPerSecond = 10;

/** How often memory is looked for that no worker has claimed for the hold time. */
const expiryMs = 1000;

export interface KeeperOptions extends StoreLimits, Pick<KeeperSessionOptions, 'log'> {
  readonly path: string;
  /** Not kept. */
  readonly token: Uint8Array;
  /** libvram, of which only the functions for sockets are called. */
  readonly libraryPath: string;
}

/** The keeper: holds descriptors of memory for workers that restart. */
export class KeeperServer {
  readonly #file: SocketFile;
  readonly #library: DescriptorLibrary;
  readonly #store: DescriptorStore;
  readonly #poller = new Poller();
  readonly #refused = new RefusedConnections(this.#poller);
  readonly #acceptor: Acceptor;
  readonly #sessions = new Set<KeeperSession>();
  readonly #options: KeeperSessionOptions;
  readonly #expiry: NodeJS.Timeout;

  private constructor(file: SocketFile, options: KeeperOptions) {
    const { token, libraryPath, log } = options;
    this.#file = file;
    this.#library = new DescriptorLibrary(libraryPath);
    this.#store = new DescriptorStore(options);
    this.#options = {
      keeperId: randomUUID(),
      store: this.#store,
      token: new TokenCheck(token),
      poller: this.#poller,
      failures: new UserRate(invalidTokensPerSecond),
      log,
      onGreeting: (session) => this.#greeted(session),
      onClose: (session) => this.#sessions.delete(session),
    };
    this.#acceptor = new Acceptor(this.#poller, file.listener, {
      accept: (descriptor) => this.#accept(descriptor),
      log: (message, error) => log('error', message, { err: error }),
    });
    this.#expiry = setInterval(() => this.#dropExpired(), expiryMs).unref();
  }

  /** Creates the socket, and accepts connections. @throws SocketFileError, FileInUseError */
  static async open(options: KeeperOptions): Promise<KeeperServer> {
    return new KeeperServer(await SocketFile.create({ path: options.path, setting: 'WORKER_KEEPER_SOCKET' }), options);
  }

  get allocationCount(): number {
    return this.#store.allocationCount;
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  get descriptorCount(): number {
    return this.#store.descriptorCount;
  }

  /** Replaces the token. Open connections stay. Returns whether it changed. */
  replaceToken(token: Uint8Array): boolean {
    return this.#options.token.replace(token);
  }

  /** Closes all connections and descriptors, and removes the socket. The memory stays with the processes that have it. */
  async close(): Promise<void> {
    clearInterval(this.#expiry);
    this.#acceptor.close();
    for (const session of [...this.#sessions]) session.close();
    this.#refused.close();
    this.#poller.close();
    // The lock of the path is released last: a worker takes its next holder for a proof that this one holds nothing.
    this.#store.clear();
    await this.#file.remove();
  }

  /** @throws VramError if no descriptor is free */
  #accept(descriptor: number): void {
    const { uid } = peerCredentials(descriptor);
    const socket = new DescriptorSocket(this.#library, descriptor);
    const refusal = this.#refusalOf(uid);
    if (refusal === undefined) return void this.#sessions.add(new KeeperSession(socket, this.#options));
    this.#options.log('warn', 'connection refused', { code: refusal.code, detail: refusal.message });
    this.#refused.refuse(socket, encodeError(undefined, refusal));
  }

  #refusalOf(uid: number): WorkerError | undefined {
    if (uid !== process.geteuid?.()) return new WorkerError('FORBIDDEN', `User ${uid} may not use the keeper`);
    if (this.#sessions.size < maxSessions) return undefined;
    return new WorkerError('RATE_LIMITED', 'Too many connections', { retryAfterMs: 1000 });
  }

  /** Nothing that a process sent on an earlier connection may happen after its greeting on a new one. */
  #greeted(session: KeeperSession): void {
    const { bootId, workerId } = session;
    if (bootId === undefined) return;
    for (const other of [...this.#sessions]) if (other !== session && other.bootId === bootId) other.close();
    if (workerId !== undefined) this.#options.log('info', 'worker connected', { worker_id: workerId });
  }

  #dropExpired(): void {
    for (const { workerId, allocationId, layout } of this.#store.dropExpired()) {
      const fields = { worker_id: workerId, allocation_id: allocationId, bytes: layout.mappedBytes };
      this.#options.log('warn', 'memory dropped: no worker claimed it', fields);
    }
  }
}
