import { hasTrailingBytes, parseEntry } from '../entry.js';
import { type ChainFault, type ChainOptions, ChainVerifier, type Extent } from './chain.js';
import { type Line, readLines } from './read_lines.js';

/**
 * `empty`: there is no entry. `torn`: all entries are valid, and a last line follows that a crash cut off. `file` and `line`
 * locate a fault.
 */
export type AuditVerdict =
  | ({ readonly kind: 'empty' } & Extent)
  | ({ readonly kind: 'whole' } & Extent)
  | ({ readonly kind: 'torn' } & Extent)
  | ({ readonly kind: 'tampered'; readonly file: string; readonly line: number } & ChainFault);

/** Verifies the files of one log, given the oldest first. @throws the file system's errors */
export function verifyLog(paths: readonly string[], options: ChainOptions): AuditVerdict {
  const chain = new ChainVerifier(options);
  const lines = readLines(paths);
  let current: Pick<Line, 'file' | 'number'> = { file: paths.at(-1) ?? '', number: 0 };
  const tampered = (fault: ChainFault): AuditVerdict => ({
    kind: 'tampered',
    ...fault,
    file: current.file,
    line: current.number,
  });
  let torn = false;
  for (let line = take(lines), next = take(lines); line !== undefined; line = next, next = take(lines)) {
    current = line;
    torn = next === undefined && !line.ended;
    if (torn && parseEntry(line.bytes) === undefined && !hasTrailingBytes(line.bytes)) break;
    if (!line.ended && !torn) return tampered({ seq: chain.extent.lastSeq + 1, detail: 'has no newline at its end' });
    const fault = chain.add(line.bytes, next?.bytes);
    if (fault !== undefined) return tampered(fault);
  }
  const fault = chain.finish();
  if (fault !== undefined) return tampered(fault);
  const { extent } = chain;
  if (torn) return { kind: 'torn', ...extent };
  return { kind: extent.lastSeq === 0 ? 'empty' : 'whole', ...extent };
}

function take(lines: Generator<Line>): Line | undefined {
  const { done, value } = lines.next();
  return done === true ? undefined : value;
}
