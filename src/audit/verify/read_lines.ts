import { closeSync, openSync, readSync } from 'node:fs';
import { maxLineBytes } from '../entry.js';

/** One line of a log file. */
export interface Line {
  /** Without its newline. A line longer than `maxLineBytes` is cut. */
  readonly bytes: Buffer;
  /** Whether a newline follows. */
  readonly ended: boolean;
  readonly file: string;
  /** Counted from 1 within its file. */
  readonly number: number;
}

const chunkBytes = 64 * 1024;
const newline = 0x0a;

/** Reads files line by line, in the given order, with constant memory. @throws the file system's errors */
export function* readLines(paths: readonly string[]): Generator<Line> {
  for (const file of paths) {
    let number = 0;
    for (const { bytes, ended } of splitLines(file)) {
      number++;
      yield { bytes, ended, file, number };
    }
  }
}

function* splitLines(path: string): Generator<Pick<Line, 'bytes' | 'ended'>> {
  const descriptor = openSync(path, 'r');
  try {
    let rest = Buffer.alloc(0);
    for (;;) {
      const chunk = Buffer.allocUnsafe(chunkBytes);
      const count = readSync(descriptor, chunk, 0, chunkBytes, null);
      if (count === 0) break;
      const text = Buffer.concat([rest, chunk.subarray(0, count)]);
      let start = 0;
      for (let end = text.indexOf(newline); end !== -1; end = text.indexOf(newline, start)) {
        yield { bytes: text.subarray(start, end), ended: true };
        start = end + 1;
      }
      // The first bytes of a line that is too long are enough to reject it.
      rest = text.subarray(start, start + maxLineBytes);
    }
    if (rest.length > 0) yield { bytes: rest, ended: false };
  } finally {
    closeSync(descriptor);
  }
}
