import type { ByteSink } from '../../sources/egress/byte_sink.js';
import type { TransferOptions } from '../../sources/egress/request.js';
import type { RangedSource } from '../../sources/ranged_source.js';
import type { ModelFile } from '../../vram/file.js';
import type { ByteRange } from '../state/snapshot.js';

/** Bytes that are in memory at once, if the sink cannot read the file itself. */
const chunkBytes = 1024 * 1024;

/** What ends the waits for a file: the signals of the operation in progress. */
export class FileStop {
  #signals: readonly (AbortSignal | undefined)[];

  constructor(signal: AbortSignal) {
    this.#signals = [signal];
  }

  by(...signals: readonly (AbortSignal | undefined)[]): void {
    this.#signals = signals;
  }

  readonly throwIfStopped = (): void => {
    for (const signal of this.#signals) signal?.throwIfAborted();
  };
}

/** An open file of this host. One transfer at a time. */
export class LocalFile implements RangedSource {
  readonly etag = undefined;
  readonly claim = undefined;
  readonly supportsRanges = true;
  readonly isPersistable = true;
  readonly #file: ModelFile;
  readonly #stop: FileStop;

  constructor(file: ModelFile, stop: FileStop) {
    this.#file = file;
    this.#stop = stop;
  }

  get totalBytes(): number {
    return this.#file.bytes;
  }

  /** @throws WorkerError LENGTH_MISMATCH if the file changed since it was opened, MODEL_DIR_UNAVAILABLE */
  async copyTo(sink: ByteSink, range: ByteRange, { signal }: TransferOptions): Promise<void> {
    this.#stop.by(signal, sink.signal);
    this.#stop.throwIfStopped();
    if (sink.file === undefined) await this.#copyChunks(sink, range);
    else await sink.file(this.#file, range);
    this.#stop.throwIfStopped();
    await this.#file.requireUnchanged();
  }

  close(): void {
    this.#file.close();
  }

  async #copyChunks(sink: ByteSink, { offset, length }: ByteRange): Promise<void> {
    const end = offset + length;
    for (let start = offset; start < end; start += chunkBytes) {
      const chunk = await this.#file.bytesOf({ offset: start, length: Math.min(chunkBytes, end - start) });
      this.#stop.throwIfStopped();
      await sink.write(chunk);
    }
  }
}
