import { safeText } from '../terminal/safe_text.js';
import { answerOf, Readiness } from './answers.js';
import { ProblemError, UnreachableError } from './client_error.js';
import type { WorkerClient, WorkerRequest } from './worker_client.js';

/** Between two requests, unless the worker held the first one back. */
const pauseMs = 1000;
/** A worker that hangs is asked again. With a maximum age, it may hash for long before it answers. */
const maxIdleMs = 10_000;
const hour = 3_600_000;
/** Shorter than the time limits of usual proxies. */
const maxWaitSeconds = 20;

const readinessOf = answerOf(Readiness, 'readiness');

export interface ReadyQuestion {
  readonly modelRef: string;
  readonly maxAgeSeconds: number | undefined;
  readonly signal: AbortSignal;
}

export interface ReadyOutcome {
  readonly isReady: boolean;
  /** What happened, for people. */
  readonly text: string;
  /** The pause before the next request. */
  readonly pauseMs: number;
}

/**
 * Asks a worker whether a model is ready. After the first answer, each request waits for another one. A worker that refuses
 * such a request, like an older one, is polled.
 */
export class ReadyPoller {
  readonly #client: WorkerClient;
  readonly #question: ReadyQuestion;
  /** The tag of the last answer, which said that the model is not ready. */
  #tag: string | undefined;
  #canWait = true;
  /** The worker has no place for a wait now. */
  #isCrowded = false;

  constructor(client: WorkerClient, question: ReadyQuestion) {
    this.#client = client;
    this.#question = question;
  }

  /** Sends one request, or more, within about `leftMs`. @throws ProblemError, PeerError if waiting cannot help; the reason of the signal */
  async ask(leftMs: number): Promise<ReadyOutcome> {
    const waitSeconds = Math.min(maxWaitSeconds, Math.floor(leftMs / 1000 - 0.5));
    try {
      if (!this.#canWait || this.#isCrowded || waitSeconds < 1) {
        this.#isCrowded = false;
        return await this.#askOnce(leftMs);
      }
      return await this.#waitForChange(waitSeconds, leftMs);
    } catch (error) {
      if (error instanceof UnreachableError) return { isReady: false, text: error.message, pauseMs };
      if (!(error instanceof ProblemError) || !error.problem.retriable) throw error;
      this.#isCrowded = error.problem.code === 'RATE_LIMITED';
      const { retry_after_ms: retryAfterMs = pauseMs } = error.problem;
      return { isReady: false, text: error.message, pauseMs: Math.max(pauseMs, retryAfterMs) };
    }
  }

  async #waitForChange(waitSeconds: number, leftMs: number): Promise<ReadyOutcome> {
    const known = this.#tag;
    const startedMs = performance.now();
    let outcome: ReadyOutcome;
    try {
      const idleMs = Math.min(waitSeconds * 1000 + maxIdleMs, leftMs);
      outcome = await this.#send({ wait_seconds: waitSeconds }, idleMs);
    } catch (error) {
      if (!(error instanceof ProblemError) || error.problem.retriable) throw error;
      this.#canWait = false;
      return this.#askOnce(leftMs);
    }
    if (outcome.isReady) return this.#question.maxAgeSeconds === undefined ? outcome : this.#askOnce(leftMs);
    if (known === undefined && this.#tag !== undefined) return { ...outcome, pauseMs: 0 };
    // A worker that shuts down does not wait.
    return { ...outcome, pauseMs: Math.max(0, startedMs + pauseMs - performance.now()) };
  }

  #askOnce(leftMs: number): Promise<ReadyOutcome> {
    const { maxAgeSeconds } = this.#question;
    const idleMs = Math.min(maxAgeSeconds === undefined ? maxIdleMs : hour, leftMs);
    return this.#send({ max_age_seconds: maxAgeSeconds }, idleMs);
  }

  async #send(query: NonNullable<WorkerRequest['query']>, idleMs: number): Promise<ReadyOutcome> {
    const { modelRef, signal } = this.#question;
    const { headers, body } = await this.#client.ask({
      method: 'GET',
      path: 'v1/ready',
      query: { model_ref: modelRef, handles: 'false', ...query },
      headers: query.wait_seconds === undefined || this.#tag === undefined ? {} : { 'if-none-match': this.#tag },
      signal,
      answers: [503],
      idleMs: Math.max(pauseMs, idleMs),
    });
    const { ready, reasons, models } = readinessOf(body);
    const [model] = models;
    if (ready && model !== undefined) {
      const text = safeText(`${model.model_ref}  ready  ${model.resident_shards} shards`);
      this.#tag = undefined;
      return { isReady: true, text, pauseMs };
    }
    if (query.wait_seconds !== undefined) this.#tag = headers.etag;
    return {
      isReady: false,
      text: safeText(reasons.map(({ code, detail }) => `${code}: ${detail}`).join('; ')),
      pauseMs,
    };
  }
}
