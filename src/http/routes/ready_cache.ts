import { WorkerError } from '../../errors.js';
import type { Residency } from '../../residency/residency.js';
import { nextSlice } from '../../residency/state/time_slices.js';
import type { ReadyQuery, ReadyReport } from '../../residency/status/readiness.js';
import { Sequence } from '../../runtime/sequence.js';
import { createResponse, type ReadyResponse, withAttestation } from './ready_response.js';

/** A query whose response depends on the state of the worker alone. */
export type PollQuery = Omit<ReadyQuery, 'nonce' | 'maxAgeSeconds'>;

type Question = ReadyQuery & { readonly nonce: string };

export interface AttestedResponse {
  readonly response: ReadyResponse;
  readonly body: [shared: Buffer, own: Buffer];
}

/** Reports what is resident when it is called. */
type Report = () => Promise<ReadyReport>;

/** Different queries that are cached at one revision. */
const maxResponses = 64;

/**
 * Prepares the responses of `ready`, once for each state of the worker. A response describes one moment, and the state has
 * not changed since, or the moment is not before its request came in. One poll and one question are answered at a time, so
 * that at most two responses are not complete, however many clients wait.
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

  /** The response to a query, without an attestation. It visits no shard if the worker has not changed. */
  get(query: ReadyQuery, isGone: () => boolean = () => false): ReadyResponse | Promise<ReadyResponse> {
    const current = this.current(query);
    if (current !== undefined) return current;
    if (query.nonce !== undefined || query.maxAgeSeconds !== undefined) return this.#answer(query, isGone);
    const key = keyOf(query);
    const waiting = this.#waiting.get(key) ?? this.#poll(key, query);
    this.#waiting.set(key, waiting);
    return waiting;
  }

  /** The prepared response, if it describes the current state and answers the query. */
  current(query: ReadyQuery): ReadyResponse | undefined {
    const cached = this.#responses.get(keyOf(query));
    return cached?.revision === this.#residency.revision && this.#residency.isFresh(query) ? cached : undefined;
  }

  /**
   * The response to a query with a nonce, and its body with the attestation: a start that others share, and its own end.
   * @throws WorkerError LENGTH_MISMATCH if the client has left
   */
  async attested(query: Question, isGone: () => boolean): Promise<AttestedResponse> {
    for (;;) {
      const response = await this.get(query, isGone);
      const body = await this.#questions.run(() => this.#attest(query, response, isGone));
      if (body !== undefined) return { response, body };
    }
  }

  /** Undefined if the response is no longer valid. */
  async #attest(
    query: Question,
    response: ReadyResponse,
    isGone: () => boolean,
  ): Promise<AttestedResponse['body'] | undefined> {
    const answer = await response.answer();
    // The bodies of earlier questions are sent first, so that they count as unread.
    await nextSlice();
    if (isGone()) throw clientGone();
    if (answer.ready && !this.#residency.couldBeReady(query.modelRef)) return undefined;
    // The state is that of the response as long as its revision is the current one.
    const isCurrent = response.revision === this.#residency.revision;
    // A response that was made before the question was still current when the question came in.
    const atMs = isCurrent ? Date.now() : Math.max(response.madeAtMs, query.askedAt.wallMs);
    return withAttestation(response, this.#residency.attest(query, { ...answer, atMs }));
  }

  /** @throws WorkerError LENGTH_MISMATCH if the client has left */
  async #answer(query: ReadyQuery, isGone: () => boolean): Promise<ReadyResponse> {
    const report = await this.#residency.ready(query);
    return this.#questions.run(async () => {
      if (isGone()) throw clientGone();
      await nextSlice();
      return this.current(query) ?? this.#create(query, report);
    });
  }

  async #poll(key: string, query: ReadyQuery): Promise<ReadyResponse> {
    try {
      const report = await this.#residency.ready(query);
      return await this.#polls.run(async () => {
        await nextSlice();
        this.#waiting.delete(key);
        return this.current(query) ?? (await this.#create(query, report));
      });
    } catch (error) {
      this.#waiting.delete(key);
      throw error;
    }
  }

  async #create(query: ReadyQuery, report: Report): Promise<ReadyResponse> {
    for (;;) {
      const now = await report();
      const response = await createResponse(now, this.#residency);
      // A shard may have become corrupt while the response was serialized.
      if (!now.ready || this.#residency.couldBeReady(query.modelRef)) return this.#cache(keyOf(query), response);
    }
  }

  /** Drops the responses that a change made obsolete. */
  #cache(key: string, response: ReadyResponse): ReadyResponse {
    const { revision } = this.#residency;
    if (!response.isShared || response.revision !== revision) return response;
    for (const [otherKey, other] of this.#responses) if (other.revision !== revision) this.#responses.delete(otherKey);
    if (this.#responses.size >= maxResponses) this.#responses.clear();
    this.#responses.set(key, response);
    return response;
  }
}

const clientGone = () => new WorkerError('LENGTH_MISMATCH', 'The client disconnected');

/** Queries with the same key have the same response. Only one with a nonce needs the hash of shards that it omits. */
export const keyOf = ({ withHandles, nonce, modelRef }: ReadyQuery): string =>
  `${withHandles ? 'handles' : nonce === undefined ? 'none' : 'hash'} ${modelRef ?? '\0'}`;
