import type { IncomingMessage } from 'node:http';

/** What Node keeps of a plain TCP connection and does not document: the handle that libuv reads from. */
interface Handle {
  readonly fd: number;
  reading: boolean;
  readStart(): number;
  readStop(): number;
}

const bypassed = new WeakSet<IncomingMessage>();

/** Whether some of a request's body was read past Node, which then waits for bytes that will not come. */
export const wasReadDirectly = (request: IncomingMessage): boolean => bypassed.has(request);

/**
 * A way for a fast body past Node: straight from the socket, with no event and no copy in between. Each call lets
 * `receive` read the connection's descriptor for as long as it likes, and says how many bytes it took. Node's parser does
 * not know of them, so that the connection must close after the answer.
 *
 * Undefined over TLS, for chunked bodies, and where there is no socket, or not one that we know how to stop.
 */
export function directReadOf(
  request: IncomingMessage,
  receive: (descriptor: number) => Promise<number>,
): (() => Promise<number>) | undefined {
  const { socket, headers } = request;
  const handle: unknown = Reflect.get(socket, '_handle');
  if ('encrypted' in socket || headers['transfer-encoding'] !== undefined || !isHandle(handle)) return undefined;
  return async () => {
    socket.pause();
    // A resume that Node has put off until the next tick would start it again behind our back.
    await new Promise((resolve) => setImmediate(resolve));
    stop(handle);
    try {
      // What Node holds already comes first, by the way that it comes.
      if (request.readableLength > 0 || socket.readableLength > 0 || socket.destroyed) return 0;
      const bytes = await receive(handle.fd);
      if (bytes > 0) bypassed.add(request);
      return bytes;
    } finally {
      // From here on Node sees what comes next, or that nobody is there any more.
      if (!socket.destroyed) start(handle);
      socket.resume();
    }
  };
}

function stop(handle: Handle): void {
  if (!handle.reading) return;
  handle.reading = false;
  handle.readStop();
}

function start(handle: Handle): void {
  if (handle.reading) return;
  handle.reading = true;
  handle.readStart();
}

function isHandle(value: unknown): value is Handle {
  if (typeof value !== 'object' || value === null) return false;
  const { fd, reading, readStart, readStop } = value as Partial<Record<keyof Handle, unknown>>;
  const stoppable = typeof readStart === 'function' && typeof readStop === 'function';
  return typeof fd === 'number' && fd >= 0 && typeof reading === 'boolean' && stoppable;
}
