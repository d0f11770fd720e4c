import type { IncomingMessage } from 'node:http';
import { pausableReaderOf } from '../../runtime/pausable_reader.js';
import { requestState } from '../server/request_state.js';

/** Reads part of a body and returns the number of bytes. */
export type DirectRead = () => Promise<number>;

/**
 * Reads a fast body straight from the socket, without Node's events and copies. Each call lets `receive` read the
 * connection's file descriptor until it returns the number of bytes. Node's parser does not see them, so the connection
 * must close after the response.
 *
 * Undefined over TLS, for chunked bodies, and without a socket whose reads can be stopped.
 */
export function directReadOf(
  request: IncomingMessage,
  receive: (descriptor: number) => Promise<number>,
): DirectRead | undefined {
  const { socket, headers } = request;
  const reader = pausableReaderOf(socket);
  if (reader === undefined || headers['transfer-encoding'] !== undefined) return undefined;
  return async () => {
    socket.pause();
    // A resume that Node scheduled for the next tick would restart the reads.
    await new Promise((resolve) => setImmediate(resolve));
    reader.stop();
    try {
      // The bytes that Node already buffered come first, as usual.
      if (request.readableLength > 0 || socket.readableLength > 0 || socket.destroyed) return 0;
      const bytes = await receive(reader.descriptor);
      if (bytes > 0) requestState(request).readDirectly = true;
      return bytes;
    } finally {
      // Node must see the next bytes, or the end of the connection.
      if (!socket.destroyed) reader.start();
      socket.resume();
    }
  };
}
