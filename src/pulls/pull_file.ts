import { WorkerError } from '../errors.js';
import type { Digest } from '../seal/digest.js';

export const pullFileStates = ['waiting', 'receiving', 'sealing', 'sealed', 'failed', 'undone'] as const;
export type PullFileState = (typeof pullFileStates)[number];

/** A file of a pull at one moment, as a plain value. */
export interface PullFileSnapshot {
  readonly path: string;
  readonly shardId: string;
  readonly state: PullFileState;
  readonly bytes: number;
  /** Never falls, although a file can be received twice. */
  readonly receivedBytes: number;
  /** Connections that were tried. 0 for a shard that was already sealed. */
  readonly attempts: number;
  readonly lastProblem: WorkerError | null;
}

/** A file to pull: its name, its length and the digests that its bytes must have. */
export interface FileToPull {
  readonly path: string;
  readonly shardId: string;
  readonly bytes: number;
  readonly expectedDigest: Digest | undefined;
  readonly expectedTreeDigest: Digest | undefined;
}

/** The allowed source states and the target state of each transition. */
const transitions = {
  begin: { from: ['waiting', 'receiving', 'sealing'], to: 'receiving' },
  markExisting: { from: ['waiting'], to: 'sealed' },
  markProven: { from: ['receiving'], to: 'sealing' },
  markSealed: { from: ['sealing'], to: 'sealed' },
  fail: { from: ['waiting', 'receiving', 'sealing'], to: 'failed' },
  undo: { from: ['waiting', 'receiving', 'sealing'], to: 'undone' },
} as const satisfies Record<string, { from: readonly PullFileState[]; to: PullFileState }>;

/** One file of a pull: its state and its progress. */
export class PullFile {
  readonly file: FileToPull;
  #state: PullFileState = 'waiting';
  #receivedBytes = 0;
  /** Of earlier attempts with other bytes, and of the current one. */
  #fetchedBefore = 0;
  #currentBytes = 0;
  #attempts = 0;
  #lastProblem: WorkerError | null = null;
  #snapshot: PullFileSnapshot | undefined;

  constructor(file: FileToPull) {
    this.file = file;
  }

  get state(): PullFileState {
    return this.#state;
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** Bytes received in all passes over the file. */
  get fetchedBytes(): number {
    return this.#fetchedBefore + this.#currentBytes;
  }

  /** The file is received from its first byte. */
  begin(): void {
    this.#enter('begin');
    this.#fetchedBefore += this.#currentBytes;
    this.#currentBytes = 0;
    this.#attempts++;
  }

  /** A connection failed, and another attempt follows. */
  retry(problem: WorkerError): void {
    this.#attempts++;
    this.#lastProblem = problem;
    this.#snapshot = undefined;
  }

  /** The bytes failed their check, and the file will be received once more. */
  refetch(problem: WorkerError): void {
    this.#lastProblem = problem;
    this.#snapshot = undefined;
  }

  /** `bytes` of the current pass over the file have arrived. */
  progress(bytes: number): void {
    if (bytes === this.#currentBytes) return;
    this.#currentBytes = bytes;
    this.#receivedBytes = Math.max(this.#receivedBytes, bytes);
    this.#snapshot = undefined;
  }

  /** The bytes are on the device and proven. */
  markProven(): void {
    this.#enter('markProven');
    this.progress(this.file.bytes);
  }

  /** The same shard is already sealed, so nothing is received. */
  markExisting(): void {
    this.#enter('markExisting');
    this.#receivedBytes = this.file.bytes;
  }

  markSealed(): void {
    if (this.#state !== 'sealed') this.#enter('markSealed');
  }

  fail(problem: WorkerError): void {
    this.#enter('fail');
    this.#lastProblem = problem;
  }

  /** Another file failed, or the pull was canceled: nothing of this one is left. A shard that was sealed before stays. */
  undo(): void {
    if (this.#state !== 'sealed') this.#enter('undo');
  }

  /** The same object until the file changes. */
  snapshot(): PullFileSnapshot {
    const { path, shardId, bytes } = this.file;
    this.#snapshot ??= {
      path,
      shardId,
      state: this.#state,
      bytes,
      receivedBytes: this.#receivedBytes,
      attempts: this.#attempts,
      lastProblem: this.#lastProblem,
    };
    return this.#snapshot;
  }

  #enter(transition: keyof typeof transitions): void {
    const { from, to }: { from: readonly PullFileState[]; to: PullFileState } = transitions[transition];
    if (!from.includes(this.#state)) {
      throw new WorkerError('INTERNAL', `The file cannot ${transition} while it is ${this.#state}`);
    }
    this.#state = to;
    this.#snapshot = undefined;
  }
}
