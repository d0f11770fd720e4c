import { closeSync } from 'node:fs';
import koffi from 'koffi';
import { errnoName } from './errno.js';

const libc = koffi.load(null);
const socket = libc.func('int socket(int domain, int type, int protocol)');
const bind = libc.func('int bind(int descriptor, const uint8_t *address, uint32_t bytes)');
const connect = libc.func('int connect(int descriptor, const uint8_t *address, uint32_t bytes)');
const listen = libc.func('int listen(int descriptor, int backlog)');
const accept4 = libc.func('int accept4(int descriptor, void *address, void *bytes, int flags)');

const AF_UNIX = 1;
const SOCK_STREAM = 1;
/** `SOCK_NONBLOCK | SOCK_CLOEXEC`: socket(2). */
const socketFlags = 0o4000 | 0o2000000;

/** The bytes of a path in `struct sockaddr_un`, without its zero: unix(7). */
export const maxSocketPathBytes = 107;

/** Connections that wait to be accepted. */
const backlog = 64;

/** A failed system call on a socket. `code` is the name of its errno. */
export class SocketError extends Error {
  override readonly name = 'SocketError';
  readonly code: string;

  constructor(call: string, code: string) {
    super(`${call}: ${code}`);
    this.code = code;
  }
}

/** A listening Unix stream socket. No method blocks. */
export class UnixListener {
  readonly descriptor: number;
  #isClosed = false;

  private constructor(descriptor: number) {
    this.descriptor = descriptor;
  }

  /** Creates the socket file, for its owner alone, and listens. @throws SocketError, such as EADDRINUSE */
  static bind(path: string): UnixListener {
    const descriptor = open();
    const address = addressOf(path);
    // The file has its mode from the first moment on: chmod after bind would leave a gap.
    const umask = process.umask(0o177);
    try {
      check('bind', bind(descriptor, address, address.length));
      check('listen', listen(descriptor, backlog));
    } catch (error) {
      closeSync(descriptor);
      throw error;
    } finally {
      process.umask(umask);
    }
    return new UnixListener(descriptor);
  }

  /** The descriptor of the next connection, which the caller must close; undefined if none waits. @throws SocketError */
  accept(): number | undefined {
    const descriptor = Number(accept4(this.descriptor, null, null, socketFlags));
    if (descriptor >= 0) return descriptor;
    const code = errnoName();
    // The peer of a connection in the queue may have left.
    if (code === 'EAGAIN' || code === 'ECONNABORTED' || code === 'EINTR') return undefined;
    throw new SocketError('accept', code);
  }

  /** Idempotent: the number may soon belong to another file. */
  close(): void {
    if (!this.#isClosed) closeSync(this.descriptor);
    this.#isClosed = true;
  }
}

/** Whether a process listens on a socket file. @throws SocketError if that cannot be found out */
export function isListening(path: string): boolean {
  const descriptor = open();
  try {
    const address = addressOf(path);
    if (connect(descriptor, address, address.length) === 0) return true;
    const code = errnoName();
    if (code === 'ECONNREFUSED' || code === 'ENOENT') return false;
    // The queue of connections is full, or the socket has another type.
    if (code === 'EAGAIN' || code === 'EPROTOTYPE') return true;
    throw new SocketError('connect', code);
  } finally {
    closeSync(descriptor);
  }
}

/** Connects to a socket file. The caller must close the descriptor. @throws SocketError */
export function connectTo(path: string): number {
  const descriptor = open();
  const address = addressOf(path);
  if (connect(descriptor, address, address.length) === 0) return descriptor;
  const code = errnoName();
  closeSync(descriptor);
  throw new SocketError('connect', code);
}

function open(): number {
  return check('socket', socket(AF_UNIX, SOCK_STREAM | socketFlags, 0));
}

/** `struct sockaddr_un`: the family in the byte order of the host, and the path with its zero. */
function addressOf(path: string): Buffer {
  const family = Buffer.from(new Uint16Array([AF_UNIX]).buffer);
  return Buffer.concat([family, Buffer.from(path), Buffer.alloc(1)]);
}

function check(call: string, result: unknown): number {
  if (Number(result) < 0) throw new SocketError(call, errnoName());
  return Number(result);
}
