import { createHash } from 'node:crypto';
import type { Residency } from '../../residency/residency.js';
import type { ReadyQuery } from '../../residency/status/readiness.js';
import { serializeReadiness } from '../serializers/ready.js';

/** A serialized response. It has an entity tag only if the worker is ready: a 304 must never hide a failure. */
export interface ReadyResponse {
  readonly status: 200 | 503;
  readonly body: Buffer;
  readonly etag: string | undefined;
}

/** Different queries that are cached at one revision. */
const maxResponses = 64;

/** Caches the responses of `ready` until the worker's state changes, because orchestrators poll it often. */
export class ReadyCache {
  readonly #residency: Residency;
  readonly #responses = new Map<string, ReadyResponse>();
  #revision = '';

  constructor(residency: Residency) {
    this.#residency = residency;
  }

  /** The response to a query. It is not cached with a nonce or a maximum age. */
  get(query: ReadyQuery): ReadyResponse | Promise<ReadyResponse> {
    if (query.nonce !== undefined || query.maxAgeSeconds !== undefined) return this.#create(query);
    const { revision } = this.#residency;
    if (revision !== this.#revision) {
      this.#responses.clear();
      this.#revision = revision;
    }
    const key = `${query.withHandles}${query.modelRef ?? '\0'}`;
    return this.#responses.get(key) ?? this.#createAndCache(key, query);
  }

  async #createAndCache(key: string, query: ReadyQuery): Promise<ReadyResponse> {
    const { revision } = this.#residency;
    const response = await this.#create(query);
    if (revision === this.#residency.revision && revision === this.#revision) {
      if (this.#responses.size >= maxResponses) this.#responses.clear();
      this.#responses.set(key, response);
    }
    return response;
  }

  async #create(query: ReadyQuery): Promise<ReadyResponse> {
    const report = await this.#residency.ready(query);
    const body = Buffer.from(JSON.stringify(serializeReadiness(report, this.#residency)));
    const hasTag = report.ready && query.nonce === undefined;
    const hash = createHash('sha256').update(body).digest('base64url').slice(0, 22);
    return { status: report.ready ? 200 : 503, body, etag: hasTag ? `"${hash}"` : undefined };
  }
}

/** Whether an `If-None-Match` header (RFC 9110 §13.1.2) contains this tag. */
export const matches = (header: string | undefined, etag: string): boolean =>
  header?.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag) ?? false;
