import { readFile, stat } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isMissing } from '../../storage/fs.js';
import { isHeader, type ManifestEntry, readLine, readRecord, readVersion1 } from './manifest_file.js';

/** The manifest is invalid. The worker refuses to start; the message gives the fix. */
export class ManifestError extends Error {
  override readonly name = 'ManifestError';
}

/** Lines that are parsed in one turn of the event loop. */
const chunkLines = 500;

/**
 * Reads the entries of a manifest, of version 1 or 2. A file that does not exist has none. A record that a crash cut off is
 * ignored: no client saw its effect. @throws ManifestError
 */
export async function readManifest(path: string): Promise<Map<string, ManifestEntry>> {
  const refuse = (problem: string): never => {
    throw new ManifestError(
      `WORKER_MANIFEST: ${path} ${problem}. It lists the shards to restore: inspect it, or move it away to start without.`,
    );
  };
  const text = await textOf(path, refuse);
  if (text === undefined) return new Map();
  const lines = text.split('\n');
  // What follows the last newline was cut off. After a crash it may also be zeros.
  lines.pop();
  const header = readLine(lines[0] ?? '');
  if (header === null) return fromVersion1(text, refuse);
  if (isHeader(header) === null) return refuse('has an unknown version');
  return (isHeader(header) && (await replay(lines))) || refuse('is damaged');
}

async function textOf(path: string, refuse: (problem: string) => never): Promise<string | undefined> {
  try {
    const found = await stat(path);
    if (!found.isFile()) return refuse('is not a regular file');
    if ((found.mode & 0o022) !== 0) return refuse('is writable by other users');
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function fromVersion1(text: string, refuse: (problem: string) => never): Map<string, ManifestEntry> {
  const entries = readVersion1(text);
  if (typeof entries === 'string') return refuse(entries);
  return new Map(entries.map((entry) => [entry.shardId, entry]));
}

/** Applies the records after the header, in order. Undefined if one is damaged. */
async function replay(lines: readonly string[]): Promise<Map<string, ManifestEntry> | undefined> {
  const entries = new Map<string, ManifestEntry>();
  for (let number = 1; number < lines.length; number++) {
    const fields = readLine(lines[number] ?? '');
    const change = fields && readRecord(fields, number);
    if (!change) return undefined;
    if (change.entry === undefined) entries.delete(change.shardId);
    else entries.set(change.shardId, change.entry);
    if (number % chunkLines === 0) await nextTurn();
  }
  return entries;
}
