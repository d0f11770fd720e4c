import type { Pull, PullFile } from '../client/answers.js';
import type { ProgressFile, ProgressReport } from '../terminal/progress.js';

/** A pull as progress. Its size is 0 until the source has answered. */
export function reportOf({ state, bytes, received_bytes: receivedBytes, files, ...pull }: Pull): ProgressReport {
  return {
    state,
    completed: 'received',
    bytes: bytes === null || bytes === 0 ? undefined : bytes,
    receivedBytes,
    bytesPerSecond: pull.bytes_per_second || undefined,
    remainingSeconds: pull.remaining_seconds ?? undefined,
    files: files.map((file) => ({
      name: file.path,
      state: stateOf(file),
      bytes: file.bytes,
      receivedBytes: file.received_bytes,
    })),
  };
}

function stateOf({ state }: PullFile): ProgressFile['state'] {
  if (state === 'waiting') return 'waiting';
  if (state === 'receiving') return 'active';
  return state === 'sealing' || state === 'sealed' ? 'done' : 'failed';
}

/** A line for each file that is tried again, once for each attempt, and for each other cause of a delay. */
export class RetryNotes {
  readonly #attempts = new Map<string, number>();
  #source = '';

  next({ files, last_problem: problem }: Pull): string[] {
    const source = problem ? `retrying the source after ${problem.code}: ${problem.detail}` : '';
    const notes = source === this.#source || source === '' ? [] : [source];
    this.#source = source;
    return [...notes, ...this.#ofFiles(files)];
  }

  #ofFiles(files: readonly PullFile[]): string[] {
    return files.flatMap(({ path, attempts, last_problem: problem }) => {
      const before = this.#attempts.get(path) ?? 1;
      this.#attempts.set(path, Math.max(1, attempts));
      if (attempts <= before || problem === null || problem === undefined) return [];
      return [`${path}: attempt ${attempts} after ${problem.code}: ${problem.detail}`];
    });
  }
}
