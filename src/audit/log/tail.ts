import type { FileSystem } from '../../storage/fs.js';
import { type Entry, hasTrailingBytes, lineStart, maxLineBytes, parseEntry } from '../entry.js';

/** The end of a log file. */
export interface Tail {
  /** The last complete entry; undefined if the file has none. */
  readonly last: Entry | undefined;
  /** The bytes after it: a line that a crash cut off. */
  readonly torn: Buffer;
  /** Whether the last entry is complete except for its newline. */
  readonly lacksNewline: boolean;
}

/** The end of the file was not written by a worker, and not by one that was killed either. */
export class DamagedTail extends Error {}

const newline = 0x0a;

/** Whether these bytes can be the start of a log's first line. After a crash they may also all be zero. */
const canBeTorn = (line: Buffer): boolean =>
  line.equals(lineStart.subarray(0, line.length)) ||
  line.subarray(0, lineStart.length).equals(lineStart) ||
  line.every((byte) => byte === 0);

/** Reads the end of a file that is `bytes` long. @throws DamagedTail, or the file system's errors */
export async function readTail(descriptor: number, bytes: number, fs: FileSystem): Promise<Tail> {
  const window = await readWindow(descriptor, bytes, fs);
  const lastNewline = window.lastIndexOf(newline);
  const rest = window.subarray(lastNewline + 1);
  const complete = parseEntry(rest);
  if (complete !== undefined) return { last: complete, torn: Buffer.alloc(0), lacksNewline: true };
  if (hasTrailingBytes(rest)) throw new DamagedTail('the last line of the audit log has bytes after its entry');
  if (lastNewline === -1) {
    if (bytes > window.length) throw new DamagedTail('the last line of the audit log is too long');
    if (!canBeTorn(rest)) throw new DamagedTail('the file is not an audit log');
    return { last: undefined, torn: rest, lacksNewline: false };
  }
  const last = parseEntry(window.subarray(window.lastIndexOf(newline, lastNewline - 1) + 1, lastNewline));
  if (last === undefined) throw new DamagedTail('the last line of the audit log is not a valid entry');
  return { last, torn: rest, lacksNewline: false };
}

/** Reads the last bytes of the file: enough for a complete line and a torn one. */
async function readWindow(descriptor: number, bytes: number, fs: FileSystem): Promise<Buffer> {
  const window = Buffer.alloc(Math.min(bytes, 2 * maxLineBytes));
  const start = bytes - window.length;
  for (let read = 0; read < window.length; ) {
    const count = await fs.read(descriptor, window, read, start + read);
    if (count === 0) throw new DamagedTail('the audit log shrank while it was read');
    read += count;
  }
  return window;
}
