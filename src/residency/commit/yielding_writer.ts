import type { RangeWriter } from '../../sources/ranged_sink.js';
import type { NativeFile } from '../../vram/file.js';
import type { ByteRange } from '../state/snapshot.js';
import type { StagingWriter } from './staging_writer.js';

/** Runs calls that use the slots of a commit, which has them again before each call. */
export interface SlotUser {
  call<T>(work: () => Promise<T>): Promise<T>;
  writeTo(writer: Pick<StagingWriter, 'write'>, chunk: Uint8Array): Promise<void> | undefined;
}

/** A writer of ranges whose commit can give its slots away between calls. */
export class YieldingWriter implements RangeWriter {
  readonly #writer: StagingWriter;
  readonly #slots: SlotUser;

  constructor(writer: StagingWriter, slots: SlotUser) {
    this.#writer = writer;
    this.#slots = slots;
  }

  get signal(): AbortSignal {
    return this.#writer.signal;
  }

  begin(offset: number): Promise<void> {
    return this.#slots.call(() => this.#writer.begin(offset));
  }

  write(chunk: Uint8Array): Promise<void> | undefined {
    return this.#slots.writeTo(this.#writer, chunk);
  }

  receive(descriptor: number, maxBytes: number): Promise<number> {
    return this.#slots.call(() => this.#writer.receive(descriptor, maxBytes));
  }

  file(file: NativeFile, range: ByteRange): Promise<void> {
    return this.#slots.call(() => this.#writer.file(file, range));
  }

  flush(): Promise<void> {
    return this.#slots.call(() => this.#writer.flush());
  }
}
