import { type FileSystem, isMissing, NotRegularFileError, openRegular } from '../../storage/fs.js';
import { maxLineBytes } from '../entry.js';

/** A file of the log is not a file, or not a sequence of lines of the log. */
export class DamagedLog extends Error {
  override readonly name = 'DamagedLog';
}

/** A line without its newline. */
export interface LogLine {
  readonly bytes: Buffer;
  /** Offset of its first byte. */
  readonly start: number;
  /** Whether a newline follows. */
  readonly ended: boolean;
}

const newline = 0x0a;

/** Bytes of one read. */
const chunkBytes = 64 * 1024;

/** The start of a line with the longest number. */
const numberBytes = 32;

/** A file of the log, of which other code may append to the end. The caller closes it. */
export class LogFile {
  readonly #fs: FileSystem;
  readonly #descriptor: number;
  /** The length when it was opened. */
  readonly bytes: number;

  private constructor(fs: FileSystem, descriptor: number, bytes: number) {
    this.#fs = fs;
    this.#descriptor = descriptor;
    this.bytes = bytes;
  }

  /** Undefined if the file does not exist. @throws DamagedLog, and the file system's errors */
  static async open(path: string, fs: FileSystem): Promise<LogFile | undefined> {
    try {
      const { descriptor, bytes } = await openRegular(fs, path);
      return new LogFile(fs, descriptor, bytes);
    } catch (error) {
      if (isMissing(error)) return undefined;
      if (error instanceof NotRegularFileError) throw new DamagedLog('a file of it is not a regular file');
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#fs.close(this.#descriptor);
  }

  /** The offset of the first line whose number is at least `seq`; the length if there is none. @throws DamagedLog */
  async offsetOf(seq: number): Promise<number> {
    let [low, high] = [0, this.bytes];
    while (high - low > chunkBytes) {
      const middle = Math.floor((low + high) / 2);
      const found = await this.#lineAfter(middle);
      if (found === undefined || found.seq >= seq) high = middle;
      else low = found.start;
    }
    const window = await this.#read(low, Math.min(this.bytes, high + maxLineBytes + numberBytes));
    for (let start = 0; start < window.length; ) {
      const found = seqAt(window, start);
      if (found === undefined || found >= seq) return low + start;
      const end = window.indexOf(newline, start);
      if (end === -1) break;
      start = end + 1;
    }
    return this.bytes;
  }

  /** The lines before an offset at which a line starts, or before the end, the last one first. @throws DamagedLog, Error */
  async *linesBefore(offset: number): AsyncGenerator<LogLine, void> {
    /** The start of a line, whose end is read already. */
    let rest = Buffer.alloc(0);
    let ended = false;
    for (let position = offset; position > 0; ) {
      const start = Math.max(0, position - chunkBytes);
      const chunk = await this.#read(start, position);
      // Only the bytes of a failed append, at the end, may be gone.
      if (position < offset && chunk.length < position - start) throw new Error('the file shrank while it was read');
      const text = Buffer.concat([chunk, rest]);
      position = start;
      let end = text.length;
      for (let found = lastNewline(text, end); found !== -1; found = lastNewline(text, end)) {
        if (ended || found + 1 < end) yield { bytes: text.subarray(found + 1, end), start: start + found + 1, ended };
        ended = true;
        end = found;
      }
      rest = text.subarray(0, end);
      if (rest.length > maxLineBytes) throw new DamagedLog('a line is too long');
    }
    if (ended || rest.length > 0) yield { bytes: rest, start: 0, ended };
  }

  /** The first line that starts after an offset; undefined if there is no complete number of one. @throws DamagedLog */
  async #lineAfter(offset: number): Promise<{ readonly start: number; readonly seq: number } | undefined> {
    const window = await this.#read(offset, Math.min(this.bytes, offset + maxLineBytes + numberBytes));
    const start = window.indexOf(newline) + 1;
    if (start === 0 && window.length > maxLineBytes) throw new DamagedLog('a line is too long');
    const seq = start === 0 ? undefined : seqAt(window, start);
    return seq === undefined ? undefined : { start: offset + start, seq };
  }

  async #read(start: number, end: number): Promise<Buffer> {
    const bytes = Buffer.alloc(end - start);
    for (let read = 0; read < bytes.length; ) {
      const count = await this.#fs.read(this.#descriptor, bytes, read, start + read);
      // The bytes of a failed append were removed.
      if (count === 0) return bytes.subarray(0, read);
      read += count;
    }
    return bytes;
  }
}

const lastNewline = (text: Buffer, end: number): number => (end === 0 ? -1 : text.lastIndexOf(newline, end - 1));

/** The number of the line at an index; undefined if the text ends there. @throws DamagedLog */
function seqAt(text: Buffer, index: number): number | undefined {
  const start = text.toString('latin1', index, index + numberBytes);
  const [, digits] = /^\{"seq":([0-9]{1,16}),/.exec(start) ?? [];
  if (digits !== undefined) return Number(digits);
  if (text.indexOf(newline, index) === -1) return undefined;
  throw new DamagedLog('a line has no number');
}
