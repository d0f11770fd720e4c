import { closeSync, openSync, readSync } from 'node:fs';
import { maxLineBytes } from '../entry.js';

/** One line of a log's files. */
export interface Line {
  /** Without its newline; cut off where it is longer than any entry can be. */
  readonly bytes: Buffer;
  readonly ended: boolean;
  readonly file: string;
  /** Counted from 1 in its file. */
  readonly number: number;
}

const chunkBytes = 64 * 1024;
const newline = 0x0a;

/** The lines of one file after the other, read piece by piece: a log of any size takes the same memory. */
export function* readLines(paths: readonly string[]): Generator<Line> {
  for (const file of paths) {
    let number = 0;
    for (const { bytes, ended } of piecesOf(file)) {
      number++;
      yield { bytes, ended, file, number };
    }
  }
}

function* piecesOf(path: string): Generator<Pick<Line, 'bytes' | 'ended'>> {
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
      // Of a line that is too long to be an entry its beginning says so.
      rest = text.subarray(start, start + maxLineBytes);
    }
    if (rest.length > 0) yield { bytes: rest, ended: false };
  } finally {
    closeSync(descriptor);
  }
}
