import { constants, unwatchFile, watchFile } from 'node:fs';
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** Files that are reloaded together. */
export interface FileGroup {
  /** The name in logs. */
  readonly name: string;
  readonly paths: readonly string[];
  /** Reloads the files. Returns whether their contents changed, and throws if they are invalid. */
  readonly reload: () => boolean | Promise<boolean>;
}

export interface WatchReport {
  reloaded(name: string): void;
  failed(name: string, error: unknown): void;
}

const defaultIntervalMs = 1000;

/**
 * Watches files by path, because notifications on an inode miss a rename and a changed link. Reports the same error
 * once. Retries when the file changes, and at each tick if the error is retriable.
 */
export class FileWatch {
  readonly #report: WatchReport;
  readonly #listeners: Map<FileGroup, () => void>;
  /** The groups to reload at the next tick. At the start that is all: a file may have changed since it was first read. */
  readonly #pending: Set<FileGroup>;
  readonly #reportedErrors = new Map<FileGroup, string>();
  readonly #reading = new Map<FileGroup, Promise<unknown>>();
  readonly #timer: NodeJS.Timeout;

  constructor(groups: readonly FileGroup[], report: WatchReport, intervalMs = defaultIntervalMs) {
    this.#report = report;
    this.#pending = new Set(groups);
    this.#listeners = new Map(groups.map((group) => [group, () => void this.#reload(group)]));
    for (const [{ paths }, listener] of this.#listeners) {
      for (const path of paths) watchFile(path, { interval: intervalMs, persistent: false }, listener);
    }
    this.#timer = setInterval(() => {
      for (const group of [...this.#pending]) void this.#reload(group);
    }, intervalMs).unref();
  }

  /** Reloads every group, changed or not, and reports every error. */
  reloadAll(): void {
    this.#reportedErrors.clear();
    for (const group of this.#listeners.keys()) void this.#reload(group);
  }

  /** Ends the watch. `reloadAll` then does nothing. */
  close(): void {
    clearInterval(this.#timer);
    for (const [{ paths }, listener] of this.#listeners) {
      for (const path of paths) unwatchFile(path, listener);
    }
    this.#listeners.clear();
  }

  /**
   * Reads from the files on a pool thread first, because `reload` reads them on the event loop, which a file system that hangs
   * would block. While a read hangs, no other begins. @throws Error
   */
  async #requireResponse(group: FileGroup): Promise<void> {
    const reading = this.#reading.get(group) ?? Promise.allSettled(group.paths.map(readByte));
    this.#reading.set(group, reading);
    const done = new AbortController();
    const late = sleep(responseMs, 'late', { signal: done.signal, ref: false }).catch(() => 'done');
    const first = await Promise.race([reading.then(() => 'read'), late]);
    done.abort();
    if (first === 'late') throw new Error('the file system does not respond');
    this.#reading.delete(group);
  }

  async #reload(group: FileGroup): Promise<void> {
    this.#pending.delete(group);
    try {
      await this.#requireResponse(group);
      if (!this.#listeners.has(group)) return;
      if (await group.reload()) this.#report.reloaded(group.name);
      this.#reportedErrors.delete(group);
    } catch (error) {
      if (this.#reportedErrors.get(group) !== String(error)) this.#report.failed(group.name, error);
      this.#reportedErrors.set(group, String(error));
      if (isRetriable(error)) this.#pending.add(group);
    }
  }
}

/** How long the file system may take for the files of a group. */
const responseMs = 10_000;

/** Reads one byte. Opening a pipe must not wait for a writer. */
async function readByte(path: string): Promise<void> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  await file.read(Buffer.alloc(1), 0, 1, 0).finally(() => file.close());
}

const isRetriable = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'AUDIT_UNAVAILABLE';
