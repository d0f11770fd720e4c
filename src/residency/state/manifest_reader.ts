import { readFile, stat } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isMissing } from '../../storage/fs.js';
import { isHeader, type ManifestEntry, readLine, readRecord, readVersion1 } from './manifest_file.js';

/** The manifest is invalid. The worker refuses to start; the message gives the fix. */
export class ManifestError extends Error {
  override readonly name = 'ManifestError';
}

/** A manifest as read from its file. */
export interface FoundManifest {
  readonly entries: Map<string, ManifestEntry>;
  /** The complete lines of a journal. Undefined if there is no file, or one of version 1. */
  readonly journal: FoundJournal | undefined;
  readonly exists: boolean;
}

export interface FoundJournal {
  /** The number of records. */
  readonly records: number;
  /** The length of the header and the records. */
  readonly bytes: number;
  /** The length of the file. The bytes behind the records are a record that a crash cut off. */
  readonly fileBytes: number;
}

/** Lines that are parsed in one turn of the event loop. */
const chunkLines = 500;

/**
 * Reads the entries of a manifest, of version 1 or 2. A file that does not exist has none. A record that a crash cut off is
 * ignored: no client saw its effect. @throws ManifestError, or the file system's errors
 */
export async function readManifest(path: string): Promise<FoundManifest> {
  const refuse = (problem: string): never => {
    throw new ManifestError(
      `WORKER_MANIFEST: ${path} ${problem}. It lists the shards to restore: inspect it, or move it away to start without.`,
    );
  };
  const content = await contentOf(path, refuse);
  if (content === undefined) return { entries: new Map(), journal: undefined, exists: false };
  // What follows the last newline was cut off. After a crash it may also be zeros.
  const bytes = content.lastIndexOf('\n') + 1;
  const lines = content.toString('utf8', 0, bytes).split('\n').slice(0, -1);
  const header = readLine(lines[0] ?? '');
  if (header === null) return fromVersion1(content.toString('utf8'), refuse);
  if (isHeader(header) === null) return refuse('has an unknown version');
  const entries = isHeader(header) && (await replay(lines));
  if (!entries) return refuse('is damaged');
  return { entries, journal: { records: lines.length - 1, bytes, fileBytes: content.length }, exists: true };
}

async function contentOf(path: string, refuse: (problem: string) => never): Promise<Buffer | undefined> {
  try {
    const found = await stat(path);
    if (!found.isFile()) return refuse('is not a regular file');
    if ((found.mode & 0o022) !== 0) return refuse('is writable by other users');
    return await readFile(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function fromVersion1(text: string, refuse: (problem: string) => never): FoundManifest {
  const entries = readVersion1(text);
  if (typeof entries === 'string') return refuse(entries);
  return { entries: new Map(entries.map((entry) => [entry.shardId, entry])), journal: undefined, exists: true };
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
