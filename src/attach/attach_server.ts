import { WorkerError } from '../errors.js';
import { Acceptor } from '../ipc/acceptor.js';
import { encodeError } from '../ipc/frame.js';
import { UserRate } from '../ipc/rate.js';
import { RefusedConnections } from '../ipc/refused_connections.js';
import { SocketFile } from '../ipc/socket_file.js';
import { UnreadDescriptors } from '../ipc/unread_descriptors.js';
import type { Residency } from '../residency/residency.js';
import { DescriptorLibrary } from '../vram/descriptor_library.js';
import { DescriptorSocket } from '../vram/descriptor_socket.js';
import { type PeerCredentials, peerCredentials, peerGroups } from '../vram/peer_process.js';
import { Poller } from '../vram/poller.js';
import { Access } from './access.js';
import { type AttachLimits, attachLimits } from './attach_limits.js';
import { Peers } from './peers.js';
import { AttachSession, type AttachSessionOptions } from './session.js';

const connectionsPerSecond = 200;
const requestsPerSecond = 1000;
const invalidTokensPerSecond = 10;

export interface AttachOptions {
  readonly path: string;
  readonly group: number | undefined;
  readonly uids: readonly number[] | undefined;
  /** Not kept. */
  readonly token: Uint8Array | undefined;
  /** libvram. */
  readonly libraryPath: string;
  /** Whether leases outlive the worker. */
  readonly hasKeeper: boolean;
  readonly log: (message: string, error: unknown) => void;
}

interface Running {
  readonly poller: Poller;
  readonly peers: Peers;
  readonly refused: RefusedConnections;
  readonly acceptor: Acceptor;
}

/** The Unix socket over which processes attach shards. */
export class AttachServer {
  readonly #residency: Residency;
  readonly #file: SocketFile;
  readonly #library: DescriptorLibrary;
  readonly #access: Access;
  readonly #options: Omit<AttachSessionOptions, 'poller'>;
  readonly #connections = new UserRate(connectionsPerSecond);
  readonly #sessions = new Set<AttachSession>();
  readonly #unread = new UnreadDescriptors();
  readonly #limits: AttachLimits;
  readonly #log: AttachOptions['log'];
  #running: Running | undefined;

  private constructor(residency: Residency, file: SocketFile, options: AttachOptions) {
    this.#residency = residency;
    this.#file = file;
    this.#library = new DescriptorLibrary(options.libraryPath);
    this.#access = new Access(options);
    this.#limits = attachLimits(options);
    this.#log = options.log;
    this.#options = {
      residency,
      access: this.#access,
      requests: new UserRate(requestsPerSecond),
      failures: new UserRate(invalidTokensPerSecond),
      unread: this.#unread,
      log: options.log,
      onClose: (session) => {
        this.#sessions.delete(session);
        this.#unread.sweep();
      },
    };
  }

  /** Creates the socket. Connections wait until `start`. @throws SocketFileError, FileInUseError */
  static async open(residency: Residency, options: AttachOptions): Promise<AttachServer> {
    const { path, group } = options;
    const file = await SocketFile.create({ path, group, setting: 'WORKER_ATTACH_SOCKET' });
    return new AttachServer(residency, file, options);
  }

  /** Accepts connections from now on. */
  start(): void {
    const poller = new Poller();
    const { processes, refused } = this.#limits;
    const peers = new Peers(poller, processes, (peer) => this.#residency.leases.processEnded(peer));
    const acceptor = new Acceptor(poller, this.#file.listener, {
      accept: (descriptor) => this.#accept(descriptor),
      log: (message, error) => this.#log(`attach: ${message}`, error),
    });
    this.#running = { poller, peers, refused: new RefusedConnections(poller, refused), acceptor };
  }

  /** Replaces the token. Returns whether it changed. */
  replaceToken(token: Uint8Array): boolean {
    return this.#access.replaceToken(token);
  }

  /** Tells all clients that the worker will stop soon. */
  announceDraining(): void {
    for (const session of this.#sessions) session.announceDraining();
  }

  /** Closes all connections and removes the socket. */
  async close(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    running?.acceptor.close();
    for (const session of [...this.#sessions]) session.close();
    running?.refused.close();
    this.#unread.close();
    running?.peers.close();
    running?.poller.close();
    await this.#file.remove();
  }

  /** @throws VramError, SocketError if no descriptor is free */
  #accept(descriptor: number): void {
    const credentials = peerCredentials(descriptor);
    const socket = new DescriptorSocket(this.#library, descriptor);
    try {
      this.#admit(descriptor, socket, credentials);
    } catch (error) {
      if (error instanceof WorkerError) return void this.#refuse(socket, credentials, error);
      socket.close();
      throw error;
    }
  }

  /** Owns the socket unless it throws. @throws WorkerError if the process is refused; SocketError if no descriptor is free */
  #admit(descriptor: number, socket: DescriptorSocket, credentials: PeerCredentials): void {
    this.#requireRoom(credentials.uid);
    this.#access.requireUser(credentials, () => peerGroups(descriptor));
    const { poller, peers } = this.#running ?? {};
    if (poller === undefined || peers === undefined) return void socket.close();
    const peer = peers.of(descriptor, credentials);
    this.#sessions.add(new AttachSession(socket, peer, { ...this.#options, poller }));
  }

  /** @throws WorkerError RATE_LIMITED */
  #requireRoom(uid: number): void {
    const waitMs = this.#connections.take(uid);
    if (waitMs > 0) throw new WorkerError('RATE_LIMITED', 'Too many connections a second', { retryAfterMs: waitMs });
    const open = [...[...this.#sessions].map(({ peer }) => peer), ...this.#unread.ofClosedConnections];
    const ofUser = open.filter((peer) => peer.uid === uid).length;
    const { sessions, sessionsPerUser } = this.#limits;
    if (open.length < sessions && ofUser < sessionsPerUser) return;
    throw new WorkerError('RATE_LIMITED', 'Too many connections', { retryAfterMs: 1000 });
  }

  #refuse(socket: DescriptorSocket, { uid, gid, pid }: PeerCredentials, refusal: WorkerError): void {
    this.#residency.leases.refused(refusal.code, { peer: { uid, gid, pid } });
    this.#running?.refused.refuse(socket, encodeError(undefined, refusal));
  }
}
