import type { WorkerError } from '../errors.js';
import type { CommitRequest, CommitResult } from '../residency/commit/request.js';
import type { Sender } from './sender.js';
import { requireBytes, type UploadStatus } from './status.js';

export type Outcome =
  | { readonly kind: 'sealed'; readonly result: CommitResult }
  | { readonly kind: 'failed'; readonly error: WorkerError };

/** How long a client can ask for the outcome of an upload. */
const outcomeMs = 10 * 60 * 1000;

/** The outcome of an upload, which holds no memory. It answers as the upload itself does. */
export class FinishedUpload {
  readonly uploadId: string;
  readonly #request: CommitRequest;
  readonly #outcome: Outcome;
  readonly #finishedMs = performance.now();

  constructor(uploadId: string, request: CommitRequest, outcome: Outcome) {
    this.uploadId = uploadId;
    this.#request = request;
    this.#outcome = outcome;
  }

  /** The client can no longer ask for it. */
  get isOld(): boolean {
    return performance.now() - this.#finishedMs >= outcomeMs;
  }

  /** @throws WorkerError the error of a failed upload */
  status(): UploadStatus {
    if (this.#outcome.kind === 'failed') throw this.#outcome.error;
    const { vramBytes, shardId } = this.#request;
    return {
      uploadId: this.uploadId,
      offset: vramBytes,
      totalBytes: vramBytes,
      expiresAtMs: Date.now() + this.#finishedMs + outcomeMs - performance.now(),
      sealedShardId: shardId,
    };
  }

  /** Takes no more bytes. @throws WorkerError UPLOAD_OFFSET, LENGTH_MISMATCH, or the error of a failed upload */
  async receive(offset: number, sender: Sender): Promise<UploadStatus> {
    const status = this.status();
    requireBytes(status, offset, sender.bytes);
    return status;
  }

  /** @throws WorkerError the error of a failed upload */
  async result(): Promise<CommitResult> {
    if (this.#outcome.kind === 'failed') throw this.#outcome.error;
    return this.#outcome.result;
  }

  async end(): Promise<void> {}
}
