import type { Logger } from 'pino';
import { type FileGroup, WatchedGroup, type WatchReport } from './watched_group.js';

export interface WatchOptions {
  readonly report: WatchReport;
  /** A call of the file system that takes longer fails. */
  readonly timeoutSeconds: number;
  readonly intervalMs?: number;
}

const defaultIntervalMs = 1000;

/** Watches groups of files by path, because notifications on an inode miss a rename and a changed link. */
export class FileWatch {
  readonly #groups: readonly WatchedGroup[];
  readonly #timer: NodeJS.Timeout;
  #isClosed = false;

  constructor(groups: readonly FileGroup[], { report, timeoutSeconds, intervalMs = defaultIntervalMs }: WatchOptions) {
    this.#groups = groups.map((group) => new WatchedGroup(group, report, timeoutSeconds));
    this.#timer = setInterval(() => {
      for (const group of this.#groups) group.tick();
    }, intervalMs).unref();
  }

  /**
   * Reloads every group, changed or not, and reports every error. While a reload runs, any number of calls causes one more.
   * Returns whether this call causes one.
   */
  reloadAll(): boolean {
    if (this.#isClosed) return false;
    return this.#groups.map((group) => group.request()).includes(true);
  }

  /** Ends the watch. `reloadAll` then does nothing. */
  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
    for (const group of this.#groups) group.close();
  }
}

/** Writes each reload, and each that failed, to the log. */
export const reportTo = (logger: Logger): WatchReport => ({
  reloaded: (name) => logger.warn({ files: name }, 'reloaded'),
  failed: (name, error) => logger.error({ files: name, err: error }, 'reload failed; keeping the previous version'),
});
