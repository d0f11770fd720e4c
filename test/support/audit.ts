import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { writeCheckpoint } from '../../src/audit/checkpoint.js';
import type { AuditRecord } from '../../src/audit/entry.js';
import { AuditLog, type LogOptions } from '../../src/audit/log/log.js';
import { AuditWriter } from '../../src/audit/writer.js';
import { Signer } from '../../src/residency/state/signer.js';
import { deriveSealKey } from '../../src/seal/key.js';

export const secret = 'seal-secret-0123456789abcdef0123456789';
export const identity = new Signer('worker-1', 'simulated', deriveSealKey(Buffer.from(secret), 'worker-1'));

/** A log with checkpoints signed by `identity`. */
export const logAt = (path: string, options: Partial<LogOptions> = {}): AuditLog =>
  new AuditLog({
    path,
    maxBytes: 2 ** 40,
    checkpoint: (head, reason) => writeCheckpoint(identity, head, reason),
    ...options,
  });

/** An open writer, whose checkpoints `identity` signs. */
export async function auditAt(
  path: string,
  onChange: (cause: unknown) => void = () => undefined,
): Promise<AuditWriter> {
  const audit = new AuditWriter({ path, maxBytes: 2 ** 40, signer: identity, onChange });
  await audit.open();
  return audit;
}

/** A record of the event `VramSealed`. */
export const sealed = (shardId: string): AuditRecord => ({
  time: '2026-01-01T00:00:00.000Z',
  event: 'VramSealed',
  severity: 'info',
  actor: { name: 'operator:0123456789abcdef', requestId: null },
  fields: { shard_id: shardId },
});

/** An entry, as the documentation describes it. */
export interface AuditLine {
  readonly seq: number;
  readonly time: string;
  readonly event: string;
  readonly severity: string;
  readonly actor: string;
  readonly request_id: string | null;
  readonly shard_id: string | null;
  readonly digest: string | null;
  readonly tree_digest: string | null;
  readonly previous: string;
  readonly checksum: string;
  readonly [field: string]: unknown;
}

/** The files of a log, the oldest first. */
export function logFiles(path: string): string[] {
  const rotated = readdirSync(dirname(path)).filter((name) => name.startsWith(`${basename(path)}.`));
  return [...rotated.sort().map((name) => join(dirname(path), name)), ...(existsSync(path) ? [path] : [])];
}

export const linesOf = (path: string): string[] =>
  logFiles(path).flatMap((file) => readFileSync(file, 'utf8').split('\n').slice(0, -1));

/**
 * Reads and verifies a log without code of the worker. @throws Error for an entry that does not follow the previous one
 */
export function readChain(path: string): AuditLine[] {
  let previous = '0'.repeat(64);
  return linesOf(path).map((line, index) => {
    const entry: AuditLine = JSON.parse(line);
    if (entry.seq !== index + 1) throw new Error(`entry ${index + 1} has the number ${entry.seq}`);
    if (entry.previous !== previous) throw new Error(`entry ${entry.seq} does not follow the previous one`);
    const [body = ''] = line.split(',"checksum":');
    if (entry.checksum !== sha256(body)) throw new Error(`entry ${entry.seq} has a wrong checksum`);
    previous = sha256(line);
    return entry;
  });
}

export const eventsOf = (path: string): string[] => readChain(path).map(({ event }) => event);

/** Changes an entry and corrects its checksum, as an attacker would. */
export function forge(line: string, changes: object): string {
  const { checksum: _, ...entry } = JSON.parse(line);
  const body = JSON.stringify({ ...entry, ...changes }).slice(0, -1);
  return `${body},"checksum":"${sha256(body)}"}`;
}

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
