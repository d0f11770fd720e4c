import { setTimeout as sleep } from 'node:timers/promises';
import { answerOf, Pull } from '../client/answers.js';
import { readEvents } from '../client/event_stream.js';
import { askRepeatedly, Backoff, type RetryOptions } from '../client/retrying.js';
import type { WorkerClient, WorkerRequest } from '../client/worker_client.js';
import { mergeEvent } from './merge_event.js';

const pullOf = answerOf(Pull, 'pull');

/** The states in which a pull has ended. */
export const hasEnded = ({ state }: Pull): boolean => ['sealed', 'failed', 'cancelled'].includes(state);

const pollSeconds = 20;
/** The worker sends progress or a comment more often. */
const eventIdleMs = 30_000;
const reconnectMs = 500;
/** Streams in a row that end without an event. A proxy that buffers them is in the way. */
const maxEmptyStreams = 2;

/** The requests about one pull. */
export class PullClient {
  readonly #client: WorkerClient;
  readonly #pullId: string;
  readonly #retry: RetryOptions;
  readonly #backoff: Backoff;

  constructor(client: WorkerClient, pullId: string, retry: RetryOptions) {
    this.#client = client;
    this.#pullId = pullId;
    this.#retry = retry;
    this.#backoff = new Backoff(retry);
  }

  /** Begins the pull, or finds it. */
  async start(body: object): Promise<Pull> {
    const json = { pull_id: this.#pullId, ...body };
    return this.#ask({ method: 'POST', path: 'v1/pulls', json });
  }

  /** The pull now. */
  get(): Promise<Pull> {
    return this.#ask({ method: 'GET', path: this.#path });
  }

  /** Asks the worker to cancel the pull. It may end in another way before. */
  async cancel(): Promise<void> {
    const backoff = new Backoff(this.#retry);
    backoff.succeeded();
    await askRepeatedly(this.#client, { method: 'DELETE', path: this.#path, signal: this.#retry.signal }, backoff);
  }

  /**
   * Each newer state of the pull up to its end: by events, or by long polls if events do not come. Continues after a lost
   * connection. @throws ProblemError, UnreachableError, PeerError, and the reason of the signal
   */
  async *follow(first: Pull): AsyncGenerator<Pull> {
    let pull = first;
    let emptyStreams = 0;
    let etag: string | undefined;
    while (!hasEnded(pull)) {
      const isStreaming = emptyStreams < maxEmptyStreams;
      if (isStreaming) {
        emptyStreams += 1;
        for await (const next of this.#events(pull)) {
          emptyStreams = 0;
          pull = next;
          yield pull;
        }
        if (hasEnded(pull)) return;
        await sleep(reconnectMs, undefined, { signal: this.#retry.signal });
      }
      // After a lost stream this says at once whether the worker still has the pull.
      const wait =
        isStreaming || etag === undefined
          ? {}
          : { query: { wait_seconds: pollSeconds }, headers: { 'if-none-match': etag } };
      const request: WorkerRequest = {
        method: 'GET',
        path: this.#path,
        signal: this.#retry.signal,
        idleMs: pollSeconds * 1000 + 30_000,
        ...wait,
      };
      const answer = await askRepeatedly(this.#client, request, this.#backoff);
      etag = answer.headers.etag;
      if (answer.status === 304) continue;
      pull = pullOf(answer.body);
      yield pull;
    }
  }

  /** The states that one stream brings. Ends with the stream, however it ends. */
  async *#events(last: Pull): AsyncGenerator<Pull> {
    let pull = last;
    try {
      const response = await this.#client.open({
        method: 'GET',
        path: `${this.#path}/events`,
        headers: { accept: 'text/event-stream' },
        signal: this.#retry.signal,
        idleMs: eventIdleMs,
      });
      if (!/^text\/event-stream\b/.test(response.headers['content-type'] ?? '')) return void response.destroy();
      try {
        for await (const event of readEvents(response)) {
          pull = mergeEvent(pull, event);
          this.#backoff.succeeded();
          yield pull;
          if (hasEnded(pull)) return;
        }
      } finally {
        response.destroy();
      }
    } catch (error) {
      this.#retry.signal.throwIfAborted();
      // The next long poll has the reason.
      if (!(error instanceof Error)) throw error;
    }
  }

  async #ask(request: { method: 'GET' | 'POST'; path: string; json?: object }): Promise<Pull> {
    return pullOf((await askRepeatedly(this.#client, { ...request, signal: this.#retry.signal }, this.#backoff)).body);
  }

  get #path(): string {
    return `v1/pulls/${encodeURIComponent(this.#pullId)}`;
  }
}
