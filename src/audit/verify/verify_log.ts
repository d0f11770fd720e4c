import { overwritten, readEntry } from '../entry.js';
import { Chain, type ChainFault, type ChainOptions } from './chain.js';
import { type Line, readLines } from './read_lines.js';

/** From which entry to which a log reaches. All zero where it is empty. */
interface Extent {
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly checkpoints: number;
}

export type AuditVerdict =
  | ({ readonly kind: 'whole' } & Extent)
  /** Whole, but for a last line that a crash cut off. */
  | ({ readonly kind: 'torn' } & Extent)
  | ({ readonly kind: 'tampered'; readonly file: string; readonly line: number } & ChainFault);

/** Checks the files of one log, the oldest first. @throws what the file system says */
export function verifyLog(paths: readonly string[], options: ChainOptions): AuditVerdict {
  const chain = new Chain(options);
  const lines = readLines(paths);
  let here: Pick<Line, 'file' | 'number'> = { file: paths.at(-1) ?? '', number: 0 };
  const tampered = (fault: ChainFault): AuditVerdict => ({
    kind: 'tampered',
    ...fault,
    file: here.file,
    line: here.number,
  });
  let torn = false;
  for (let line = take(lines), next = take(lines); line !== undefined; line = next, next = take(lines)) {
    here = line;
    torn = next === undefined && !line.ended;
    if (torn && readEntry(line.bytes) === undefined && !overwritten(line.bytes)) break;
    if (!line.ended && !torn) return tampered({ seq: chain.extent.lastSeq + 1, detail: 'is not what was written' });
    const fault = chain.add(line.bytes, next?.bytes);
    if (fault !== undefined) return tampered(fault);
  }
  const fault = chain.finish();
  if (fault !== undefined) return tampered(fault);
  return { kind: torn ? 'torn' : 'whole', ...chain.extent };
}

function take(lines: Generator<Line>): Line | undefined {
  const { done, value } = lines.next();
  return done === true ? undefined : value;
}
