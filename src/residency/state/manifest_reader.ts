import { readFile, stat } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isMissing } from '../../storage/fs.js';
import { ManifestContent, readHeader, readLine, readRecord, readVersion1 } from './manifest_file.js';

/** The manifest is invalid. The worker refuses to start; the message gives the fix. */
export class ManifestError extends Error {
  override readonly name = 'ManifestError';
}

/** A manifest as read from its file. */
export interface FoundManifest {
  readonly content: ManifestContent;
  /** The complete lines of a journal. Undefined if there is no file, or one of an older version. */
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
 * Reads a manifest of this version or an older one. A file that does not exist has no content. A record that a crash cut off is
 * ignored: no client saw its effect. @throws ManifestError, or the file system's errors
 */
export async function readManifest(path: string): Promise<FoundManifest> {
  const refuse = (problem: string): never => {
    throw new ManifestError(
      `WORKER_MANIFEST: ${path} ${problem}. It lists the shards to restore: inspect it, or move it away to start without.`,
    );
  };
  const content = await contentOf(path, refuse);
  if (content === undefined) return { content: new ManifestContent(), journal: undefined, exists: false };
  // What follows the last newline was cut off. After a crash it may also be zeros.
  const bytes = content.lastIndexOf('\n') + 1;
  const lines = content.toString('utf8', 0, bytes).split('\n').slice(0, -1);
  const first = readLine(lines[0] ?? '');
  if (first === null) return fromVersion1(content.toString('utf8'), refuse);
  const header = readHeader(first);
  if (header === 'unreadable') return refuse('has an unknown version, which may be newer than this worker');
  const found = header === 'none' ? undefined : await replay(lines);
  if (found === undefined) return refuse('is damaged');
  const journal = { records: lines.length - 1, bytes, fileBytes: content.length };
  return { content: found, journal: header === 'current' ? journal : undefined, exists: true };
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
  return { content: new ManifestContent(entries), journal: undefined, exists: true };
}

/** Applies the records after the header, in order. Undefined if one is damaged. */
async function replay(lines: readonly string[]): Promise<ManifestContent | undefined> {
  const content = new ManifestContent();
  for (let number = 1; number < lines.length; number++) {
    const fields = readLine(lines[number] ?? '');
    const change = fields && readRecord(fields, number);
    if (!change) return undefined;
    content.apply(change);
    if (number % chunkLines === 0) await nextTurn();
  }
  return content;
}
