import { WorkerError } from '../../errors.js';
import { FileCalls, FileTimeoutError } from '../../storage/file_calls.js';
import { type FileSystem, nodeFileSystem } from '../../storage/fs.js';
import { DamagedLog } from './log_file.js';
import { type AuditPage, readPage } from './page.js';

/** Reads that wait for the one in progress. */
const maxWaiting = 16;

const defaultTimeoutSeconds = 5;

export interface AuditReaderOptions {
  /** Undefined without an audit log. */
  readonly path: string | undefined;
  /** The number of the last entry that is certainly on disk; undefined if it is unknown. */
  readonly lastSeq: () => number | undefined;
  /** After it, a request fails, whether it reads or waits. */
  readonly timeoutSeconds?: number;
  readonly fs?: FileSystem;
}

/** Reads pages of the audit log, one at a time. A file system that hangs occupies one thread. */
export class AuditReader {
  readonly #options: AuditReaderOptions;
  readonly #calls: FileCalls;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(options: AuditReaderOptions) {
    this.#options = options;
    this.#calls = new FileCalls(options.timeoutSeconds ?? defaultTimeoutSeconds);
  }

  /**
   * Up to `limit` entries with numbers below `beforeSeq`, the newest first. Large entries can make a page shorter.
   * @throws WorkerError NOT_FOUND without a log, AUDIT_UNAVAILABLE if it is damaged or cannot be read in time, RATE_LIMITED
   */
  async page(limit: number, beforeSeq = Number.POSITIVE_INFINITY): Promise<AuditPage> {
    const { path } = this.#options;
    if (path === undefined) throw new WorkerError('NOT_FOUND', 'There is no audit log: WORKER_AUDIT_LOG is not set');
    if (this.#waiting >= maxWaiting) {
      throw new WorkerError('RATE_LIMITED', 'Too many requests read the audit log', { retryAfterMs: 1000 });
    }
    this.#waiting++;
    const askedMs = performance.now();
    const page = this.#last.then(() =>
      this.#calls.run('the audit log', () => this.#read(path, limit, beforeSeq), performance.now() - askedMs),
    );
    this.#last = page.catch(() => undefined);
    return page.catch((cause: unknown) => Promise.reject(unreadable(cause))).finally(() => this.#waiting--);
  }

  #read(path: string, limit: number, beforeSeq: number): Promise<AuditPage> {
    const { lastSeq, fs = nodeFileSystem } = this.#options;
    // Lines after it may be undone.
    const endSeq = (lastSeq() ?? Number.MAX_SAFE_INTEGER) + 1;
    return readPage(path, { limit, beforeSeq: Math.min(beforeSeq, endSeq), isNewest: beforeSeq >= endSeq }, fs);
  }
}

function unreadable(cause: unknown): WorkerError {
  if (cause instanceof DamagedLog) {
    const detail = `The audit log is damaged: ${cause.message}. Check it with vram-worker audit verify`;
    return new WorkerError('AUDIT_UNAVAILABLE', detail, { cause, retriable: false });
  }
  const detail =
    cause instanceof FileTimeoutError
      ? 'The file system of the audit log did not respond in time'
      : 'The audit log cannot be read';
  return new WorkerError('AUDIT_UNAVAILABLE', detail, { cause });
}
