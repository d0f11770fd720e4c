import { ProblemError, UnreachableError } from '../client/client_error.js';
import { Backoff, type RetryOptions } from '../client/retrying.js';
import type { LocalFile } from './file_digest.js';
import type { CommitFields, TusClient, UploadState } from './tus_client.js';

/** Attempts in a row that bring no byte. */
const maxIdleAttempts = 10;
/** A worker that restarts forgets its uploads. */
const maxRestarts = 5;

export interface UploadObserver extends RetryOptions {
  /** Gets the offset in the file. */
  readonly onBytes: (offset: number) => void;
  /** The worker forgot the upload, which begins again. */
  readonly onRestart: () => void;
}

/** Uploads one file, and continues automatically after cuts and while the worker is away. */
export class Upload {
  readonly #tus: TusClient;
  readonly #file: LocalFile;
  readonly #fields: CommitFields;
  readonly #observer: UploadObserver;
  #uploadId: string | undefined;

  constructor(tus: TusClient, file: LocalFile, fields: CommitFields, observer: UploadObserver) {
    this.#tus = tus;
    this.#file = file;
    this.#fields = fields;
    this.#observer = observer;
  }

  /** Ends the upload, if it was created. */
  async end(): Promise<void> {
    if (this.#uploadId !== undefined) await this.#tus.end(this.#uploadId);
  }

  /** Resolves with the answer of the commit. @throws InputError, ProblemError, UnreachableError, PeerError, and the signal's reason */
  async run(): Promise<unknown> {
    for (let restarts = 0; ; restarts++) {
      try {
        const uploadId = await this.#send();
        return await this.#tus.outcome(uploadId);
      } catch (error) {
        if (!isForgotten(error) || restarts === maxRestarts) throw error;
        this.#observer.onRestart();
      }
    }
  }

  async #send(): Promise<string> {
    const backoff = new Backoff(this.#observer);
    const { uploadId, ...created } = await repeated(backoff, () => this.#tus.create(this.#file.bytes, this.#fields));
    this.#uploadId = uploadId;
    let state: UploadState = created;
    for (let idle = 0; !state.isSealed; ) {
      const { offset } = state;
      this.#observer.onBytes(offset);
      try {
        state = await this.#tus.send(uploadId, this.#file, offset, this.#observer.onBytes);
        backoff.succeeded();
      } catch (error) {
        if (!isCut(error) || idle === maxIdleAttempts) throw error;
        if (!isOffset(error)) await backoff.wait(error);
        state = await repeated(backoff, () => this.#tus.state(uploadId, this.#file.bytes));
      }
      idle = state.offset > offset ? 0 : idle + 1;
    }
    return uploadId;
  }
}

async function repeated<T>(backoff: Backoff, work: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      const result = await work();
      backoff.succeeded();
      return result;
    } catch (error) {
      await backoff.wait(error);
    }
  }
}

const codeOf = (error: unknown): string | undefined => (error instanceof ProblemError ? error.problem.code : undefined);

/** The bytes sent so far are not lost. */
const isCut = (error: unknown): boolean =>
  error instanceof UnreachableError || (error instanceof ProblemError && error.problem.retriable) || isOffset(error);

const isOffset = (error: unknown): boolean => codeOf(error) === 'UPLOAD_OFFSET';

const isForgotten = (error: unknown): boolean => ['NOT_FOUND', 'UPLOAD_EXPIRED'].includes(codeOf(error) ?? '');
