import { stat } from 'node:fs/promises';

/** Files that belong together, and what is to be done when one of them is another than before. */
export interface FileGroup {
  /** What logs call them. */
  readonly name: string;
  readonly paths: readonly string[];
  /** Takes over what the files hold now; says whether that was anything new. Throws where it can't be taken. */
  readonly take: () => boolean;
}

export interface WatchReport {
  taken(name: string): void;
  refused(name: string, error: unknown): void;
}

const pollMs = 1000;

/**
 * Looks at files by their paths, once a second: that survives whatever way they are replaced (rename, link, write), which
 * notifications on an inode do not. What is refused leaves all as it was; it is told once, and tried again when the file
 * changes, or, where the error says that trying again may help, until it succeeds.
 */
export class FileWatch {
  readonly #groups: readonly FileGroup[];
  readonly #report: WatchReport;
  readonly #seen = new Map<FileGroup, string>();
  readonly #told = new Map<FileGroup, string>();
  readonly #timer: NodeJS.Timeout;
  #looking: Promise<void> | undefined;
  #closed = false;

  constructor(groups: readonly FileGroup[], report: WatchReport) {
    this.#groups = groups;
    this.#report = report;
    // The first look takes what was replaced between the start's reading and now.
    this.#timer = setInterval(() => void this.#lookOnce(), pollMs).unref();
  }

  /** Takes everything anew, changed or not. */
  now(): void {
    if (this.#closed) return;
    for (const group of this.#groups) this.#take(group, true);
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
  }

  #lookOnce(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    for (const group of this.#groups) {
      const state = (await Promise.all(group.paths.map(stateOf))).join();
      if (this.#closed || this.#seen.get(group) === state) continue;
      if (this.#take(group, false)) this.#seen.set(group, state);
    }
  }

  /** Whether the group is done with until its files change. */
  #take(group: FileGroup, tellAgain: boolean): boolean {
    try {
      if (group.take()) this.#report.taken(group.name);
      this.#told.delete(group);
      return true;
    } catch (error) {
      const text = String(error);
      if (tellAgain || this.#told.get(group) !== text) this.#report.refused(group.name, error);
      this.#told.set(group, text);
      return !isRetriable(error);
    }
  }
}

const isRetriable = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'AUDIT_UNAVAILABLE';

/** Changes whenever the file at the path is replaced, written or made readable to others. */
async function stateOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mode, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return `${dev}:${ino}:${size}:${mode}:${mtimeNs}:${ctimeNs}`;
  } catch {
    return 'absent';
  }
}
