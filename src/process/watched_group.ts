import { stat } from 'node:fs/promises';
import { ConfigError } from '../config/config_error.js';
import { FileCalls, FileTimeoutError } from '../storage/file_calls.js';

/** Files that are reloaded together. */
export interface FileGroup {
  /** The name in logs. */
  readonly name: string;
  readonly paths: readonly string[];
  /** Reads the files by `files`, and takes them over. Returns whether they changed. Throws if they are invalid. */
  readonly reload: (files: FileCalls) => Promise<boolean>;
}

export interface WatchReport {
  reloaded(name: string): void;
  failed(name: string, error: unknown): void;
}

/**
 * A group of files and its reloads, of which one runs at a time. If its file system hangs, the group occupies one thread of
 * libuv's pool, and no reload begins until the call returns.
 */
export class WatchedGroup {
  readonly #group: FileGroup;
  readonly #report: WatchReport;
  readonly #files: FileCalls;
  /** The state of the files before the last reload. Undefined at first: a file may have changed since the startup. */
  #state: string | undefined;
  #isRetriable = false;
  #reportedError: string | undefined;
  #running: Promise<void> | undefined;
  #following: Promise<void> | undefined;
  #isClosed = false;

  constructor(group: FileGroup, report: WatchReport, timeoutSeconds: number) {
    this.#group = group;
    this.#report = report;
    this.#files = new FileCalls(timeoutSeconds);
  }

  /** Reloads the files if one has changed, or if the last error is retriable. Reports the same error once. */
  tick(): void {
    if (this.#running === undefined) void this.#start(false);
  }

  /** Reloads the files after the reload that runs. Reports every error. Returns false if such a reload already waits. */
  request(): boolean {
    if (this.#following !== undefined) return false;
    this.#following = (this.#running ?? Promise.resolve()).then(() => {
      this.#following = undefined;
      this.#reportedError = undefined;
      return this.#start(true);
    });
    return true;
  }

  close(): void {
    this.#isClosed = true;
  }

  #start(isRequested: boolean): Promise<void> {
    this.#running = this.#reload(isRequested).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #reload(isRequested: boolean): Promise<void> {
    const { name, paths, reload } = this.#group;
    try {
      const state = await this.#files.run(name, () => stateOf(paths));
      if (this.#isClosed || !(isRequested || this.#isRetriable || state !== this.#state)) return;
      this.#state = state;
      this.#isRetriable = false;
      if (await reload(this.#files)) this.#report.reloaded(name);
      this.#reportedError = undefined;
    } catch (error) {
      this.#isRetriable = isRetriable(error);
      if (this.#reportedError !== String(error)) this.#report.failed(name, error);
      this.#reportedError = String(error);
    }
  }
}

/** Changes whenever a file of the group is written, replaced or removed, or its permissions change. */
async function stateOf(paths: readonly string[]): Promise<string> {
  const states = [];
  for (const path of paths) {
    const found = await stat(path, { bigint: true }).catch(String);
    states.push(
      typeof found === 'string' ? found : [found.dev, found.ino, found.size, found.ctimeNs, found.mode].join(),
    );
  }
  return states.join(' ');
}

/** A `ConfigError` with a cause is one of the file system, for example of a process without a free descriptor. */
const isRetriable = (error: unknown): boolean =>
  error instanceof FileTimeoutError ||
  (error instanceof ConfigError && error.cause !== undefined) ||
  (error instanceof Error && 'code' in error && error.code === 'AUDIT_UNAVAILABLE');
