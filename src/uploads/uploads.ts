import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Actor } from '../audit/actor.js';
import { WorkerError } from '../errors.js';
import type { CommitRequest, CommitResult } from '../residency/commit/request.js';
import type { Residency } from '../residency/residency.js';
import { drainingError } from '../residency/state/lifecycle.js';
import { FinishedUpload } from './finished_upload.js';
import { Upload, type UploadState } from './upload.js';

/** Open uploads by default. Each holds memory, as a reservation does. */
const defaultMaxOpen = 256;

/** Outcomes that are kept. The oldest are forgotten first. */
const maxFinished = 1024;

export interface UploadsOptions {
  /** How long an upload keeps its memory while its client sends nothing. */
  readonly resumeSeconds: number;
  readonly maxOpen?: number;
}

/** A new upload, or one that has bytes already: the open one of the same request, or that of a sealed shard. */
export interface Creation {
  readonly upload: Upload | FinishedUpload;
  readonly isNew: boolean;
}

/** Commits whose bytes come in several requests. */
export class Uploads {
  readonly #residency: Pick<Residency, 'admit' | 'phase'>;
  readonly #options: UploadsOptions;
  readonly #open = new Map<string, Upload>();
  /** Oldest first. */
  readonly #finished = new Map<string, FinishedUpload>();

  constructor(residency: Pick<Residency, 'admit' | 'phase'>, options: UploadsOptions) {
    this.#residency = residency;
    this.#options = options;
  }

  /**
   * Admits an upload, which takes its memory. A client that lost the answer sends the same request again, and gets the
   * same upload if it expects a digest. Without one, the bytes of two clients could mix. @throws WorkerError as `Residency.admit` does
   */
  async create(request: CommitRequest, actor: Actor): Promise<Creation> {
    const same = this.#same(request);
    if (same !== undefined) {
      await same.park();
      return { upload: same, isNew: false };
    }
    const admission = this.#residency.admit(request, actor);
    if (admission.kind === 'existing') return { upload: this.#sealed(request, admission.result), isNew: false };
    const { ingest } = admission;
    if (this.#open.size >= (this.#options.maxOpen ?? defaultMaxOpen)) {
      const error = new WorkerError('TOO_MANY_COMMITS', 'Too many uploads are open', { retryAfterMs: 5000 });
      await ingest.abort(error);
      throw error;
    }
    const uploadId = randomUUID();
    const upload = new Upload(uploadId, request, ingest, {
      ...this.#options,
      endingError: () => this.#endingError(),
      onFinish: (outcome) => this.#remember(outcome),
    });
    this.#open.set(uploadId, upload);
    await upload.park();
    return { upload, isNew: true };
  }

  /** @throws WorkerError NOT_FOUND */
  require(uploadId: string): Upload | FinishedUpload {
    this.#forgetOld();
    const upload = this.#open.get(uploadId) ?? this.#finished.get(uploadId);
    if (upload !== undefined) return upload;
    throw new WorkerError('NOT_FOUND', 'The upload does not exist');
  }

  /** Undoes an upload, and forgets it. A sealed shard stays. @throws WorkerError NOT_FOUND */
  async terminate(uploadId: string): Promise<void> {
    const upload = this.require(uploadId);
    await upload.end(new WorkerError('NOT_FOUND', 'The upload was terminated'));
    this.#finished.delete(uploadId);
  }

  /** Ends the uploads that wait for their clients. Those that receive bytes may finish. */
  drain(): void {
    for (const upload of this.#open.values()) upload.endIfIdle(drainingError());
  }

  /** The uploads that hold memory, for metrics. */
  get openByState(): Readonly<Record<UploadState, number>> {
    const counts = { idle: 0, receiving: 0, sealing: 0 };
    for (const { state } of this.#open.values()) if (state !== 'finished') counts[state]++;
    return counts;
  }

  #same(request: CommitRequest): Upload | undefined {
    if (request.expectedDigest === undefined && request.expectedTreeDigest === undefined) return undefined;
    return [...this.#open.values()].find((upload) => isDeepStrictEqual(upload.request, request));
  }

  #endingError(): WorkerError | undefined {
    const { phase } = this.#residency;
    return phase === 'draining' || phase === 'stopped' ? drainingError() : undefined;
  }

  #sealed(request: CommitRequest, result: CommitResult): FinishedUpload {
    const upload = new FinishedUpload(randomUUID(), request, { kind: 'sealed', result });
    this.#remember(upload);
    return upload;
  }

  #remember(upload: FinishedUpload): void {
    const { uploadId } = upload;
    this.#open.delete(uploadId);
    this.#finished.set(uploadId, upload);
    this.#forgetOld();
  }

  #forgetOld(): void {
    for (const [uploadId, { isOld }] of this.#finished) {
      if (!isOld && this.#finished.size <= maxFinished) break;
      this.#finished.delete(uploadId);
    }
  }
}
