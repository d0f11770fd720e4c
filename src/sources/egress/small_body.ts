import { BoundedBuffer } from '../../runtime/bounded_buffer.js';
import type { Clock } from './clock.js';
import type { Exchange } from './exchange.js';
import { faultOf, invalid, unavailable } from './fault.js';
import { StallWatch } from './stall_watch.js';

/** A source that sends a document more slowly only holds a connection. */
const minBytesPerSecond = 1024;

/**
 * Reads a body that must fit in memory: JSON or a digest. Closes the exchange.
 * @throws SourceFault SOURCE_INVALID if it is compressed or longer than `maxBytes`, SOURCE_UNAVAILABLE if it is cut
 */
export async function readSmallBody(
  exchange: Exchange,
  { maxBytes, clock, signal }: { readonly maxBytes: number; readonly clock: Clock; readonly signal: AbortSignal },
): Promise<Buffer> {
  const { head, body } = exchange;
  const watch = new StallWatch(clock, minBytesPerSecond, (error) => exchange.close(error));
  const onAbort = () => exchange.close(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    signal.throwIfAborted();
    head.requirePlainBody();
    const tooLong = () => invalid(`The source sent a document of more than ${maxBytes} bytes`);
    if ((head.contentLength ?? 0) > maxBytes) throw tooLong();
    const bytes = new BoundedBuffer(maxBytes);
    watch.wait();
    for await (const chunk of body) {
      watch.arrived(chunk.length);
      if (!bytes.add(chunk)) throw tooLong();
      watch.wait();
    }
    if (!body.complete) throw unavailable('The source closed the connection early');
    return bytes.bytes;
  } catch (error) {
    signal.throwIfAborted();
    throw faultOf(error);
  } finally {
    watch.stop();
    signal.removeEventListener('abort', onAbort);
    exchange.close();
  }
}
