import { createHash } from 'node:crypto';
import { WorkerError } from '../../errors.js';
import type { Residency } from '../../residency/residency.js';
import { nextSlice } from '../../residency/state/time_slices.js';
import { encodeInSlices } from '../../residency/status/json_pieces.js';
import type { ReadyQuery, ReadyReport } from '../../residency/status/readiness.js';
import { readinessJson } from '../serializers/ready.js';
import { Sequence } from './sequence.js';

/** A serialized response. It has an entity tag only if the worker is ready: a 304 must never hide a failure. */
export interface ReadyResponse {
  readonly status: 200 | 503;
  readonly body: Buffer;
  readonly etag: string | undefined;
  /** The revision of the state that the response describes. */
  readonly revision: number;
}

/** Reports what is resident when it is called. */
type Report = () => Promise<ReadyReport>;

/** Different queries that are cached at one revision. */
const maxResponses = 64;

/**
 * Creates the responses of `ready`. A response describes one moment, which is not before its request came in. Responses to
 * polls are cached until the worker's state changes. One poll and one question are answered at a time, so that at most two
 * responses are not complete, however many clients wait.
 */
export class ReadyCache {
  readonly #residency: Residency;
  readonly #responses = new Map<string, ReadyResponse>();
  /** Polls whose report is not made yet. Requests with the same query share it. */
  readonly #waiting = new Map<string, Promise<ReadyResponse>>();
  readonly #polls = new Sequence();
  readonly #questions = new Sequence();

  constructor(residency: Residency) {
    this.#residency = residency;
  }

  /** The response to a query. It is neither cached nor shared with a nonce or a maximum age. */
  get(query: ReadyQuery, isGone: () => boolean = () => false): ReadyResponse | Promise<ReadyResponse> {
    if (query.nonce !== undefined || query.maxAgeSeconds !== undefined) return this.#answer(query, isGone);
    const key = `${query.withHandles}${query.modelRef ?? '\0'}`;
    const cached = this.#cached(key);
    if (cached !== undefined) return cached;
    const waiting = this.#waiting.get(key) ?? this.#poll(key, query);
    this.#waiting.set(key, waiting);
    return waiting;
  }

  /** @throws WorkerError LENGTH_MISMATCH if the client has left */
  async #answer(query: ReadyQuery, isGone: () => boolean): Promise<ReadyResponse> {
    const report = await this.#residency.ready(query);
    return this.#questions.run(async () => {
      if (isGone()) throw new WorkerError('LENGTH_MISMATCH', 'The client disconnected');
      await nextSlice();
      return this.#create(query, report);
    });
  }

  async #poll(key: string, query: ReadyQuery): Promise<ReadyResponse> {
    try {
      const report = await this.#residency.ready(query);
      return await this.#polls.run(async () => {
        await nextSlice();
        this.#waiting.delete(key);
        return this.#cached(key) ?? this.#cache(key, await this.#create(query, report));
      });
    } catch (error) {
      this.#waiting.delete(key);
      throw error;
    }
  }

  #cached(key: string): ReadyResponse | undefined {
    const cached = this.#responses.get(key);
    return cached?.revision === this.#residency.revision ? cached : undefined;
  }

  /** Drops the responses that a change made obsolete. */
  #cache(key: string, response: ReadyResponse): ReadyResponse {
    const { revision } = this.#residency;
    for (const [otherKey, other] of this.#responses) if (other.revision !== revision) this.#responses.delete(otherKey);
    if (this.#responses.size >= maxResponses) this.#responses.clear();
    this.#responses.set(key, response);
    return response;
  }

  async #create(query: ReadyQuery, report: Report): Promise<ReadyResponse> {
    for (;;) {
      const now = await report();
      const response = await this.#serialize(query, now);
      // A shard may have become corrupt while the response was serialized.
      if (!now.ready || this.#residency.couldBeReady(query.modelRef)) return response;
    }
  }

  async #serialize(query: ReadyQuery, report: ReadyReport): Promise<ReadyResponse> {
    const hash = createHash('sha256');
    const body = await encodeInSlices(readinessJson(report, this.#residency), hash);
    const hasTag = report.ready && query.nonce === undefined;
    const etag = hasTag ? `"${hash.digest('base64url').slice(0, 22)}"` : undefined;
    return { status: report.ready ? 200 : 503, body, etag, revision: report.revision };
  }
}

/** Whether an `If-None-Match` header (RFC 9110 §13.1.2) contains this tag. */
export const matches = (header: string | undefined, etag: string): boolean =>
  header?.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag) ?? false;
