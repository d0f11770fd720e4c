import type { Socket } from 'node:net';

/** The libuv handle of a plain TCP connection. */
interface Handle {
  readonly fd: number;
  reading: boolean;
  readStart(): number;
  readStop(): number;
}

/** A TCP connection whose reads by Node can be stopped and restarted. */
export interface PausableReader {
  readonly descriptor: number;
  stop(): void;
  start(): void;
}

/**
 * Controls when libuv reads from a connection (`_handle.reading`, `readStart()`, `readStop()`). Undefined over TLS, for a
 * closed connection, and if a field is absent: Node then reads the whole body.
 */
export function pausableReaderOf(socket: Socket): PausableReader | undefined {
  const handle: unknown = Reflect.get(socket, '_handle');
  if ('encrypted' in socket || !isHandle(handle)) return undefined;
  return {
    // libuv changes it to -1 when the connection closes.
    get descriptor() {
      return handle.fd;
    },
    stop() {
      if (!handle.reading) return;
      handle.reading = false;
      handle.readStop();
    },
    start() {
      if (handle.reading) return;
      handle.reading = true;
      handle.readStart();
    },
  };
}

function isHandle(value: unknown): value is Handle {
  if (typeof value !== 'object' || value === null) return false;
  const { fd, reading, readStart, readStop } = value as Partial<Record<keyof Handle, unknown>>;
  const canPause = typeof readStart === 'function' && typeof readStop === 'function';
  return typeof fd === 'number' && fd >= 0 && typeof reading === 'boolean' && canPause;
}
