import type { ByteRange } from './egress/range_response.js';
import type { TransferOptions } from './egress/request.js';
import type { RangedSource } from './ranged_source.js';

/** A chunk that waits for its reader, and the function that lets the source continue. */
interface Offer {
  readonly chunk: Uint8Array;
  readonly take: () => void;
}

/**
 * The chunks of a source from `offset` to its end, or of a range. Holds one chunk, and reads the next when it is asked
 * for. A reader that stops early closes the connection.
 */
export async function* openChunks(
  source: RangedSource,
  { offset, length = source.totalBytes - offset }: { readonly offset: number; readonly length?: number },
  options: TransferOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const stopped = new AbortController();
  let offer: Offer | undefined;
  let wake: () => void = () => undefined;
  const write = (chunk: Uint8Array): Promise<void> =>
    new Promise((take) => {
      offer = { chunk, take };
      wake();
    });
  let end: { readonly error?: unknown } | undefined;
  const onEnd = (ended: { readonly error?: unknown }) => {
    end = ended;
    wake();
  };
  const copied = source.copyTo({ write, signal: stopped.signal }, { offset, length }, options).then(
    () => onEnd({}),
    (error: unknown) => onEnd({ error }),
  );
  try {
    for (;;) {
      if (offer === undefined && end === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      if (offer === undefined) break;
      const { chunk, take } = offer;
      offer = undefined;
      yield chunk;
      take();
    }
    if (end !== undefined && 'error' in end) throw end.error;
  } finally {
    stopped.abort(new Error('the reader stopped'));
    await copied;
  }
}

/** The bytes of a range, in memory. The caller bounds its length. @throws WorkerError, or the reason of the signal */
export async function readRange(source: RangedSource, range: ByteRange, options: TransferOptions): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(range.length);
  let filled = 0;
  const write = (chunk: Uint8Array): undefined => {
    buffer.set(chunk, filled);
    filled += chunk.length;
  };
  await source.copyTo({ write }, range, options);
  return buffer;
}
