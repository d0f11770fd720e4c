import { internalError, WorkerError } from '../errors.js';
import type { Ingest } from '../residency/commit/ingest.js';
import type { CommitRequest, CommitResult } from '../residency/commit/request.js';
import { idleMs } from './deadline.js';
import { FinishedUpload, type Outcome } from './finished_upload.js';
import type { Sender } from './sender.js';
import { requireBytes, type UploadStatus } from './status.js';
import { Transfer } from './transfer.js';

/**
 * - `idle`: no request brings bytes. The commit is paused, and ends with UPLOAD_EXPIRED when the timer fires.
 * - `receiving`: a request brings bytes, or waits for a commit slot.
 * - `sealing`: every byte arrived. The client need not stay.
 * - `finished`: the outcome, which the client can ask for.
 */
type State =
  | { readonly kind: 'idle'; readonly timer: NodeJS.Timeout; readonly expiresAtMs: number }
  | { readonly kind: 'receiving' }
  | { readonly kind: 'sealing'; readonly result: Promise<CommitResult> }
  | { readonly kind: 'finished'; readonly outcome: FinishedUpload };

/** The states of an upload that holds memory. */
export type UploadState = Exclude<State['kind'], 'finished'>;

export interface UploadOptions {
  readonly resumeSeconds: number;
  /** Ends an upload that becomes idle; undefined while uploads may wait for their clients. */
  readonly endingError: () => WorkerError | undefined;
  /** Called once, when the upload is sealed or has failed. */
  readonly onFinish: (outcome: FinishedUpload) => void;
}

/** How long a request waits for the outcome. */
const outcomeWaitMs = 30_000;

/** A request that has the upload, or waits for the earlier one to leave it. */
interface Turn {
  readonly transfer: Transfer;
  readonly done: Promise<void>;
}

/** One upload: a commit whose bytes come in several requests. A newer request ends the connection of an older one. */
export class Upload {
  readonly uploadId: string;
  readonly request: CommitRequest;
  readonly #options: UploadOptions;
  readonly #ingest: Ingest;
  readonly #createdMs = performance.now();
  #state: State = { kind: 'receiving' };
  #turn: Turn | undefined;
  #parked: Promise<void> | undefined;

  /** The upload is `receiving` until `park`. */
  constructor(uploadId: string, request: CommitRequest, ingest: Ingest, options: UploadOptions) {
    this.uploadId = uploadId;
    this.request = request;
    this.#ingest = ingest;
    this.#options = options;
    // While the shard is sealed, its result decides: the seal may have taken effect already.
    ingest.signal.addEventListener('abort', () => {
      if (this.#state.kind !== 'sealing') this.#fail(ingest.signal.reason);
    });
  }

  get state(): State['kind'] {
    return this.#state.kind;
  }

  /** Pauses the commit that was just admitted. Idempotent. @throws the error that ended it */
  park(): Promise<void> {
    this.#parked ??= this.#ingest.pause().then(() => this.#becomeIdle());
    return this.#parked;
  }

  /** @throws WorkerError the error of a failed upload */
  status(): UploadStatus {
    const state = this.#state;
    if (state.kind === 'finished') return state.outcome.status();
    const { uploadId, request } = this;
    return {
      uploadId,
      offset: state.kind === 'sealing' ? request.vramBytes : this.#ingest.receivedBytes,
      totalBytes: request.vramBytes,
      expiresAtMs: state.kind === 'idle' ? state.expiresAtMs : Date.now() + this.#options.resumeSeconds * 1000,
      sealedShardId: undefined,
    };
  }

  /**
   * Takes the bytes of a request that begin at `offset`. The request that brings the last byte gets the outcome.
   * @throws WorkerError UPLOAD_OFFSET, LENGTH_MISMATCH, TOO_MANY_COMMITS, DRAINING, and the errors of the commit
   */
  async receive(offset: number, sender: Sender): Promise<UploadStatus> {
    await this.#inTurn(sender, async (transfer) => {
      requireBytes(this.status(), offset, sender.bytes);
      if (sender.bytes === 0) return;
      const endingError = this.#options.endingError();
      if (endingError !== undefined) throw endingError;
      await this.#run(transfer);
    });
    if (this.#state.kind === 'sealing') await this.#state.result;
    return this.status();
  }

  /** The outcome of the commit. Waits while the shard is being sealed. @throws WorkerError SHARD_BUSY before that */
  async result(): Promise<CommitResult> {
    const state = this.#state;
    if (state.kind === 'finished') return state.outcome.result();
    const { offset, totalBytes } = this.status();
    const detail = `The upload is not sealed: ${offset} of ${totalBytes} bytes arrived`;
    const busy = () => new WorkerError('SHARD_BUSY', detail);
    if (state.kind !== 'sealing') throw busy();
    return orAfter(outcomeWaitMs, state.result, busy);
  }

  /** Undoes the upload, unless its shard is sealed. Never rejects. */
  async end(reason: WorkerError): Promise<void> {
    if (this.#state.kind !== 'finished') await this.#ingest.abort(reason);
  }

  /** Ends the upload if no request brings its bytes. */
  endIfIdle(reason: WorkerError): void {
    if (this.#state.kind === 'idle') void this.end(reason);
  }

  /** Runs `work` after every earlier request has left the upload. The newest one wins. */
  async #inTurn(sender: Sender, work: (transfer: Transfer) => Promise<void>): Promise<void> {
    const previous = this.#turn;
    const transfer = new Transfer(this.#ingest, sender, this.request.vramBytes);
    const running = (async () => {
      previous?.transfer.end(new WorkerError('UPLOAD_OFFSET', 'A newer request continues the upload'));
      await previous?.done;
      await work(transfer);
    })();
    const turn = { transfer, done: running.catch(() => undefined) };
    this.#turn = turn;
    await running.finally(() => {
      if (this.#turn === turn) this.#turn = undefined;
    });
  }

  async #run(transfer: Transfer): Promise<void> {
    if (this.#state.kind !== 'idle') return;
    clearTimeout(this.#state.timer);
    this.#state = { kind: 'receiving' };
    try {
      await transfer.run();
    } finally {
      this.#afterTransfer();
    }
  }

  #afterTransfer(): void {
    if (this.#state.kind !== 'receiving') return;
    if (this.#ingest.receivedBytes < this.request.vramBytes) this.#becomeIdle();
    else this.#seal();
  }

  #seal(): void {
    const result = this.#ingest.finish();
    this.#state = { kind: 'sealing', result };
    result.then(
      (sealed) => this.#finish({ kind: 'sealed', result: sealed }),
      (error: unknown) => this.#fail(error),
    );
  }

  #becomeIdle(): void {
    if (this.#state.kind !== 'receiving') return;
    const { resumeSeconds, endingError } = this.#options;
    const ms = idleMs(resumeSeconds, performance.now() - this.#createdMs, this.#ingest.receivedBytes);
    const timer = setTimeout(() => void this.end(expiredError()), ms).unref();
    this.#state = { kind: 'idle', timer, expiresAtMs: Date.now() + ms };
    const error = endingError();
    if (error !== undefined) void this.end(error);
  }

  #fail(reason: unknown): void {
    this.#finish({ kind: 'failed', error: reason instanceof WorkerError ? reason : internalError(reason) });
  }

  #finish(outcome: Outcome): void {
    if (this.#state.kind === 'finished') return;
    if (this.#state.kind === 'idle') clearTimeout(this.#state.timer);
    const finished = new FinishedUpload(this.uploadId, this.request, outcome);
    this.#state = { kind: 'finished', outcome: finished };
    this.#options.onFinish(finished);
  }
}

const expiredError = (): WorkerError =>
  new WorkerError('UPLOAD_EXPIRED', 'The upload expired: its client sent nothing for too long');

/** Rejects with the error if the promise takes longer. */
async function orAfter<T>(ms: number, promise: Promise<T>, error: () => WorkerError): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(error()), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
