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
  readonly #pending = new Map<string, Promise<ReadyResponse>>();
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

  /** Requests at the same revision share a response that is being created. */
  #createAndCache(key: string, query: ReadyQuery): Promise<ReadyResponse> {
    const { revision } = this.#residency;
    const pendingKey = `${revision} ${key}`;
    const pending = this.#pending.get(pendingKey);
    if (pending !== undefined) return pending;
    const created = this.#createAt(revision, key, query).finally(() => this.#pending.delete(pendingKey));
    this.#pending.set(pendingKey, created);
    return created;
  }

  async #createAt(revision: string, key: string, query: ReadyQuery): Promise<ReadyResponse> {
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
