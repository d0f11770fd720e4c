import { pausableReaderOf } from '../../runtime/pausable_reader.js';
import type { ByteSink } from './byte_sink.js';
import type { Exchange } from './exchange.js';
import { SecureStream } from './secure_stream.js';

/** A direct read pays off after a chunk of this size, if this many bytes remain. */
const minFastChunkBytes = 32 * 1024;
const minRemainingBytes = 1024 * 1024;

/** Lets a sink read at most `maxBytes` of a body, after a chunk of `chunkBytes`. Returns how many it read. */
export type DirectRead = (chunkBytes: number, maxBytes: number) => Promise<number>;

/**
 * Reads a fast body straight from the socket, without Node's events and copies. Node's parser does not see these bytes,
 * so the reader counts them, and the connection serves no second response. Undefined over TLS, for chunked bodies, and
 * for a sink that cannot read a socket.
 */
export function directReadOf({ connection, body, head }: Exchange, sink: ByteSink): DirectRead | undefined {
  if (connection instanceof SecureStream) return undefined;
  const socket = connection;
  const reader = pausableReaderOf(socket);
  const receive = sink.receive?.bind(sink);
  if (reader === undefined || receive === undefined || head.get('transfer-encoding') !== undefined) return undefined;
  return async (chunkBytes, maxBytes) => {
    if (chunkBytes < minFastChunkBytes || maxBytes < minRemainingBytes) return 0;
    reader.stop();
    socket.pause();
    // A resume that Node scheduled for the next tick would restart the reads.
    await new Promise((resolve) => setImmediate(resolve));
    reader.stop();
    try {
      // The bytes that Node already buffered come first, as usual.
      if (body.readableLength > 0 || socket.readableLength > 0 || socket.destroyed) return 0;
      return await receive(reader.descriptor, maxBytes);
    } finally {
      // Node must see the next bytes, or the end of the connection.
      if (!socket.destroyed) reader.start();
      socket.resume();
    }
  };
}
