import { basename } from 'node:path';
import { type FileSystem, realPath } from '../../storage/fs.js';
import { parseEntry } from '../entry.js';
import { rotatedFiles } from '../log/rotation.js';
import { DamagedLog, LogFile } from './log_file.js';

/** Bytes of entries in one page. A page has at least one entry. */
const maxPageBytes = 1024 * 1024;

export interface PageQuery {
  readonly limit: number;
  /** The page has entries with smaller numbers. */
  readonly beforeSeq: number;
  /** The newest page: an entry near the end of the newest file is wanted. */
  readonly isNewest: boolean;
}

/** Entries of the log, the newest first. */
export interface AuditPage {
  /** The lines of the log, each a JSON object, without newlines. */
  readonly lines: readonly Buffer[];
  /** `beforeSeq` of the next page; null if there are no older entries. */
  readonly nextBeforeSeq: number | null;
}

/**
 * Reads one page from the file at `path` and the rotated files next to it. The worker may append and rotate at the same time.
 * @throws DamagedLog if the newest entry of the page is damaged, and the file system's errors
 */
export async function readPage(path: string, query: PageQuery, fs: FileSystem): Promise<AuditPage> {
  const page = new Page(query);
  try {
    for await (const file of filesOf(path, fs, page)) if (await page.read(file)) break;
  } catch (error) {
    if (!(error instanceof DamagedLog) || page.isEmpty) throw error;
    // The next page reports it.
    page.hasOlder = true;
  }
  return page.result;
}

interface File {
  readonly log: LogFile;
  /** There is an older file. */
  readonly hasOlder: boolean;
}

/** The files that can have entries of the page, the newest first. Each is closed after its turn. */
async function* filesOf(path: string, fs: FileSystem, page: Page): AsyncGenerator<File, void> {
  const real = await realPath(fs, path);
  const current = await LogFile.open(real, fs);
  let rotated: string[];
  try {
    // Listed after the current file was opened. If that was rotated in between, it is listed too.
    rotated = (await rotatedFiles(real, fs)).reverse();
    if (current !== undefined) yield { log: current, hasOlder: rotated.length > 0 };
  } finally {
    await current?.close();
  }
  for (const [index, file] of rotated.entries()) {
    const older = rotated[index + 1];
    if (older !== undefined && lastSeqOf(older) >= page.beforeSeq - 1) continue;
    const log = await LogFile.open(file, fs);
    try {
      if (log !== undefined) yield { log, hasOlder: older !== undefined };
    } finally {
      await log?.close();
    }
  }
}

const lastSeqOf = (path: string): number => Number(basename(path).split('.').at(-1));

/** A page that is being read. */
class Page {
  /** Whether entries follow that the page has no place for. */
  hasOlder = false;
  readonly #lines: Buffer[] = [];
  readonly #limit: number;
  #isNewest: boolean;
  #beforeSeq: number;
  #bytes = 0;

  constructor({ limit, beforeSeq, isNewest }: PageQuery) {
    this.#limit = limit;
    this.#beforeSeq = beforeSeq;
    this.#isNewest = isNewest;
  }

  get isEmpty(): boolean {
    return this.#lines.length === 0;
  }

  /** Entries with smaller numbers are still wanted. */
  get beforeSeq(): number {
    return this.#beforeSeq;
  }

  get result(): AuditPage {
    return { lines: this.#lines, nextBeforeSeq: this.hasOlder ? this.#beforeSeq : null };
  }

  /** Takes entries of a file. Returns whether the page is full. @throws DamagedLog */
  async read({ log, hasOlder }: File): Promise<boolean> {
    const offset = this.#isNewest ? log.bytes : await log.offsetOf(this.#beforeSeq);
    this.#isNewest = false;
    for await (const { bytes, start, ended } of log.linesBefore(offset)) {
      const entry = parseEntry(bytes);
      if (entry === undefined && ended) throw new DamagedLog(`the entry before entry ${this.#beforeSeq} is damaged`);
      // The last line is not complete yet, or the entry is not synced yet, or was in the file before.
      if (entry === undefined || entry.seq >= this.#beforeSeq) continue;
      if (!this.isEmpty && this.#bytes + bytes.length > maxPageBytes) {
        this.hasOlder = true;
        return true;
      }
      this.#lines.push(bytes);
      this.#bytes += bytes.length;
      this.#beforeSeq = entry.seq;
      this.hasOlder = start > 0 || hasOlder;
      if (this.#lines.length === this.#limit) return true;
    }
    this.hasOlder = false;
    return false;
  }
}
