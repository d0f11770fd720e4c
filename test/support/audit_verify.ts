import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { readCheckpoint } from '../../src/audit/checkpoint.js';
import { type AuditVerdict, verifyLog } from '../../src/audit/verify/verify_log.js';
import { deriveSealKey } from '../../src/seal/key.js';
import { forge, linesOf, logAt, logFiles, sealed, secret, sha256 } from './audit.js';
import { temporaryDirectory } from './temporary_directory.js';

/** The lines of an intact log with this many entries, its checkpoints, and a checkpoint at the end. */
export async function logOf(t: Test, entries: number): Promise<string[]> {
  const path = join(temporaryDirectory(t), 'audit.log');
  const log = logAt(path);
  await log.append(Array.from({ length: entries }, (_, index) => sealed(`shard-${index}`)));
  await log.checkpoint('stop');
  await log.close();
  return linesOf(path);
}

export interface VerifyOptions {
  /** Lines with checkpoints that were kept outside the log. */
  readonly kept?: readonly string[];
  /** Whether to verify signatures. */
  readonly signed?: boolean;
}

/** Writes a text to a file, and verifies it as a log. */
export function verify(
  path: string,
  text: string | Buffer,
  { kept = [], signed = false }: VerifyOptions = {},
): AuditVerdict {
  writeFileSync(path, text);
  const claims = kept.flatMap((line) => readCheckpoint(JSON.parse(line).checkpoint) ?? []);
  return verifyLog([path], {
    kept: new Map(claims.map(({ sequence, hash }) => [sequence, hash])),
    ...(signed ? { keysOf: (iss: string) => [deriveSealKey(Buffer.from(secret), iss)] } : {}),
  });
}

/** Verifies all files of a log, without kept checkpoints. */
export const verifyFiles = (path: string): AuditVerdict => verifyLog(logFiles(path), { kept: new Map() });

export const textOf = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');

/** Renumbers and rechains the lines from an index on, so that only checkpoints contradict the result. */
export function rechain(lines: readonly string[], from: number): string[] {
  const chained = lines.slice(0, from);
  for (const line of lines.slice(from)) {
    const before = chained.at(-1);
    const previous = before === undefined ? '0'.repeat(64) : sha256(before);
    chained.push(forge(line, { seq: chained.length + 1, previous }));
  }
  return chained;
}
