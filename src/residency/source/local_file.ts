import type { ByteSink } from '../../sources/egress/byte_sink.js';
import type { TransferOptions } from '../../sources/egress/request.js';
import type { LocalSource } from '../../sources/local_files.js';
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

const minReaders = 4;
const maxReaders = 16;

/**
 * Threads that read one file. A slow disk or network needs several even on few cores. With several devices, files are read
 * at the same time, and share the cores.
 */
export const readersOf = (cores: number, devices: number): number =>
  Math.min(maxReaders, Math.max(minReaders, Math.floor(cores / Math.max(1, devices))));

interface Reader {
  readonly file: ModelFile;
  readonly stop: FileStop;
}

/** An open file of this host. */
export class LocalFile implements LocalSource {
  readonly claim = undefined;
  readonly supportsRanges = true;
  /** Each occupies a pool thread and a thread of the file system. */
  readonly maxTransfers: number;
  readonly #first: Reader;
  /** One for each transfer that ran at the same time as others. */
  readonly #readers: Reader[];
  readonly #free: Reader[];

  constructor(file: ModelFile, stop: FileStop, maxTransfers = minReaders) {
    this.maxTransfers = maxTransfers;
    this.#first = { file, stop };
    this.#readers = [this.#first];
    this.#free = [this.#first];
  }

  get totalBytes(): number {
    return this.#first.file.bytes;
  }

  get etag(): string {
    return this.#first.file.version;
  }

  /** @throws WorkerError LENGTH_MISMATCH if the file changed since it was opened, MODEL_DIR_UNAVAILABLE */
  async copyTo(sink: ByteSink, range: ByteRange, { signal }: TransferOptions): Promise<void> {
    const reader = this.#free.pop() ?? (await this.#addReader(signal));
    const { file, stop } = reader;
    try {
      stop.by(signal, sink.signal);
      stop.throwIfStopped();
      if (sink.file === undefined) await copyChunks(reader, sink, range);
      else await sink.file(file, range);
      stop.throwIfStopped();
      await file.requireUnchanged();
    } finally {
      this.#free.push(reader);
    }
  }

  async reopen(signal: AbortSignal): Promise<LocalFile> {
    const stop = new FileStop(signal);
    return new LocalFile(await this.#first.file.reopen(stop.throwIfStopped), stop, this.maxTransfers);
  }

  close(): void {
    for (const { file } of this.#readers) file.close();
  }

  async #addReader(signal: AbortSignal): Promise<Reader> {
    const stop = new FileStop(signal);
    const reader = { file: await this.#first.file.reopen(stop.throwIfStopped), stop };
    this.#readers.push(reader);
    return reader;
  }
}

async function copyChunks({ file, stop }: Reader, sink: ByteSink, { offset, length }: ByteRange): Promise<void> {
  const end = offset + length;
  for (let start = offset; start < end; start += chunkBytes) {
    const chunk = await file.bytesOf({ offset: start, length: Math.min(chunkBytes, end - start) });
    stop.throwIfStopped();
    await sink.write(chunk);
  }
}
