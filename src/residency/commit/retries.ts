import { type ErrorCode, outcomeOf, WorkerError } from '../../errors.js';

/** Errors that may pass: another process frees memory, or the device recovers. */
const transient: readonly ErrorCode[] = ['VRAM_OOM', 'HOST_OOM', 'CUDA_ERROR', 'SEAL_VERIFICATION_FAILED'];
const transientRetries = 3;
/** The model directory or the source does not answer: its server may start later than the worker. */
const unavailable: readonly ErrorCode[] = ['MODEL_DIR_UNAVAILABLE', 'SOURCE_UNAVAILABLE', 'SOURCE_TIMEOUT'];
/** How long a shard waits for its source, after its first failure. */
const patienceMs = 10 * 60 * 1000;
const maxRetryMs = 15_000;

/** Decides whether the restore of one shard is retried, and when. */
export class Retries {
  readonly #retryMs: number;
  /** Shards wait long for their turn, so the time begins with the first failure. */
  #firstFailureMs: number | undefined;
  #count = 0;
  #failures = 0;

  constructor(retryMs: number) {
    this.#retryMs = retryMs;
  }

  get isFirst(): boolean {
    return this.#count === 1;
  }

  /** Undefined if there is no retry. */
  delayAfter(error: unknown): number | undefined {
    const code = outcomeOf(error);
    this.#count++;
    this.#firstFailureMs ??= performance.now();
    if (code === 'AUDIT_UNAVAILABLE') return this.#retryMs;
    if (unavailable.some((one) => one === code)) {
      const isPatient = performance.now() - this.#firstFailureMs < patienceMs;
      return isPatient ? Math.min(this.#retryMs * 2 ** (this.#count - 1), maxRetryMs) : undefined;
    }
    const isTransient =
      transient.some((one) => one === code) || (error instanceof WorkerError && error.retriable === true);
    return isTransient && ++this.#failures <= transientRetries ? this.#retryMs : undefined;
  }
}
