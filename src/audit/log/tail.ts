import { type Entry, lineStart, maxLineBytes, overwritten, readEntry } from '../entry.js';
import type { Files } from './fs.js';

/** The end of a log's file. */
export interface Tail {
  /** The last whole entry; undefined where there is none. */
  readonly last: Entry | undefined;
  /** What stands behind it: a line that was not written to its end. */
  readonly torn: Buffer;
  /** The last entry lacks nothing but its newline. */
  readonly unended: boolean;
}

/** The end of the file is not what a worker leaves behind, not even one that was killed. */
export class DamagedTail extends Error {}

const newline = 0x0a;

/** Whether this could be what a crash left of the first entry of all: not so the text of another file. */
const couldBeTorn = (line: Buffer): boolean =>
  line.equals(lineStart.subarray(0, line.length)) ||
  line.subarray(0, lineStart.length).equals(lineStart) ||
  line.every((byte) => byte === 0);

/** Reads the end of a file of so many bytes. @throws DamagedTail, or what the file system says */
export function readTail(descriptor: number, bytes: number, files: Files): Tail {
  const window = Buffer.alloc(Math.min(bytes, 2 * maxLineBytes));
  const start = bytes - window.length;
  for (let read = 0; read < window.length; ) {
    const count = files.readSync(descriptor, window, read, window.length - read, start + read);
    if (count === 0) throw new DamagedTail('the audit log became shorter while it was read');
    read += count;
  }

  const ended = window.lastIndexOf(newline);
  const rest = window.subarray(ended + 1);
  const unended = readEntry(rest);
  if (unended !== undefined) return { last: unended, torn: Buffer.alloc(0), unended: true };
  if (overwritten(rest)) throw new DamagedTail('the last line of the audit log is not what was written');
  if (ended === -1 && start > 0) throw new DamagedTail('the last line of the audit log has no end');
  if (ended === -1 && !couldBeTorn(rest)) throw new DamagedTail('the file is no audit log');
  if (ended === -1) return { last: undefined, torn: rest, unended: false };
  const last = readEntry(window.subarray(window.lastIndexOf(newline, ended - 1) + 1, ended));
  if (last === undefined) throw new DamagedTail('the last line of the audit log is no entry');
  return { last, torn: rest, unended: false };
}
